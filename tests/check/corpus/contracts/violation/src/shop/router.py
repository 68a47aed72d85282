import shop.repository  # finds: import-contract

rows = shop.repository.rows
