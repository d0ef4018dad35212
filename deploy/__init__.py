"""Tools of a deployment: environment files, checks, and jobs that run once."""
