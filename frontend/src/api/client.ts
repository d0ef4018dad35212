// The GraphQL door: queries over HTTP, subscriptions over one WebSocket that finds its way back.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode as OperationType } from "graphql";
import { createClient } from "graphql-ws";
import { connection } from "./connection";

const socketUrl = new URL("/graphql", location.href);
socketUrl.protocol = socketUrl.protocol.replace("http", "ws");

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
const SILENT_MS = 10_000;

const socket = createClient({
  url: socketUrl.href,
  retryAttempts: Infinity,
  shouldRetry: () => true,
  retryWait: (retries) => new Promise((done) => setTimeout(done, Math.min(FIRST_WAIT_MS * 2 ** retries, LONGEST_WAIT_MS))),
  keepAlive: SILENT_MS,
  on: {
    connected: () => connection.found(),
    closed: (event) => {
      if (!(event as CloseEvent).wasClean) connection.lost();
    },
  },
});

/** fetch that tells the page whether the server is there. */
async function watched(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  try {
    const answer = await fetch(input, init);
    connection.found();
    return answer;
  } catch (failure) {
    if (!init?.signal?.aborted) connection.lost();
    throw failure;
  }
}

export const client = new ApolloClient({
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationType.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    new HttpLink({ uri: "/graphql", fetch: watched }),
  ),
  cache: new InMemoryCache({
    typePolicies: {
      IngestionTaskStatus: { keyFields: ["taskId"] },
      Query: {
        fields: {
          // A page of a list is shown as the server gives it.
          listIngestionTasks: { merge: false },
        },
      },
    },
  }),
});
