"""The GraphQL schema and documents of existing clients, verbatim; they must keep working."""

SCHEMA = """
# frontend/src/queries/ingestion.graphql
scalar Upload

type IngestionTaskStatus {
  taskId: ID!
  status: String!
  message: String
  datasourceName: String
  originalFilename: String
  fileSize: Int
  rowCount: Int
  validationErrors: JSON
  errorMessage: String
  createdAt: String
  updatedAt: String
  startedAt: String
  completedAt: String
}

type Mutation {
  uploadSalesData(file: Upload!, dataSourceName: String!): IngestionTaskStatus
}

type Query {
  getIngestionTaskStatus(taskId: ID!): IngestionTaskStatus
  listIngestionTasks(limit: Int, offset: Int): [IngestionTaskStatus]
}
"""
UPLOAD = """
  mutation UploadSalesData($file: Upload!, $dataSourceName: String!) {
    uploadSalesData(file: $file, dataSourceName: $dataSourceName) {
      taskId
      status
      message
    }
  }
"""
STATUS = """
  query GetIngestionTaskStatus($taskId: ID!) {
    getIngestionTaskStatus(taskId: $taskId) {
      taskId
      status
      message
      fileSize
      rowCount
      validationErrors
      errorMessage
      createdAt
      updatedAt
    }
  }
"""
