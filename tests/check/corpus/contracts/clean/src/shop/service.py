from shop.repository import rows

orders = rows
