"""The GraphQL documents of the clients that exist already; they have to run unchanged."""

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
