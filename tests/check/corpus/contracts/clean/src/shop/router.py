from shop.service import orders

answer = orders
