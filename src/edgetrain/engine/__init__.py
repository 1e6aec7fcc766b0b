"""What training on the server and fine-tuning on the device share."""
