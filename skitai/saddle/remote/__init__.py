"""An app's views as remote methods: XML-RPC and JSON-RPC."""
