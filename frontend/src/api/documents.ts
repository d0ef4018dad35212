// Documents over GraphQL, with the types that codegen derives from the schema.
import type { OperationVariables, TypedDocumentNode } from "@apollo/client";
import { client } from "./client";
import { useLoaded, type Loaded } from "./loaded";
import { ProblemError, SERVER_AWAY } from "./problems";

/** The result of a query; `variables` null: requests nothing. Results are not cached: a reload is always new. */
export function useDocument<T, V extends OperationVariables>(query: TypedDocumentNode<T, V>, variables: V | null): Loaded<T> {
  return useLoaded(variables && JSON.stringify(variables), async () => {
    const { data } = await client.query<T, OperationVariables>({ query, variables: variables ?? {}, fetchPolicy: "no-cache" });
    if (!data) throw new ProblemError(SERVER_AWAY);
    return data as T;
  });
}
