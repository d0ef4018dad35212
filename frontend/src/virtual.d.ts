declare module "virtual:doors" {
  /** Whether the server that this page is built for has it, such as `Mutation.retryIngestionTask`. */
  export const has: (door: string) => boolean;
}
