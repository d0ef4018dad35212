declare module "virtual:schema" {
  /** Whether the schema has a field, such as `Mutation.retryIngestionTask`. */
  export const has: (field: string) => boolean;
}
