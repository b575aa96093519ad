"""Reports: scorecards for people, in the terminal, as HTML and in MLflow."""
