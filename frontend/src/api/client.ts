// The GraphQL client: queries over HTTP, subscriptions over one WebSocket that reconnects.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode as OperationType } from "graphql";
import { createClient } from "graphql-ws";
import { connection } from "./connection";

const socketUrl = new URL("/graphql", location.href);
socketUrl.protocol = socketUrl.protocol.replace("http", "ws");

const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 5000;
const KEEP_ALIVE_MS = 10_000;

const socket = createClient({
  url: socketUrl.href,
  retryAttempts: Infinity,
  shouldRetry: () => true,
  retryWait: (retries) => new Promise((done) => setTimeout(done, Math.min(FIRST_BACKOFF_MS * 2 ** retries, MAX_BACKOFF_MS))),
  keepAlive: KEEP_ALIVE_MS,
  on: {
    connected: () => connection.found(),
    closed: (event) => {
      if (!(event as CloseEvent).wasClean) connection.lost();
    },
  },
});

/** fetch that reports whether the server responds. */
async function trackedFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  try {
    const response = await fetch(input, init);
    connection.found();
    return response;
  } catch (failure) {
    if (!init?.signal?.aborted) connection.lost();
    throw failure;
  }
}

export const client = new ApolloClient({
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationType.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    new HttpLink({ uri: "/graphql", fetch: trackedFetch }),
  ),
  cache: new InMemoryCache({
    typePolicies: {
      IngestionTaskStatus: { keyFields: ["taskId"] },
      Query: {
        fields: {
          // Pages are replaced, not merged.
          listIngestionTasks: { merge: false },
        },
      },
    },
  }),
});
