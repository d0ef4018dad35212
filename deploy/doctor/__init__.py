"""Looks at a deployment from outside and says what is wrong with it and what to do."""
