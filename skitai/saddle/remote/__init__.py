"""An app's functions as remote methods: XML-RPC and JSON-RPC."""
