"""Methods of the steps, chosen by name in a recipe. Pure: no network, no Prefect, no boto3, no W&B."""
