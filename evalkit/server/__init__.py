"""The server: MLflow's pages and API with ours beside them, on one port, and who may do what there."""
