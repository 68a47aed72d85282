from shop.service import orders  # finds: import-contract

rows = orders
