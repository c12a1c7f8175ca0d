"""Services to copy from; the tutorial explains them."""
