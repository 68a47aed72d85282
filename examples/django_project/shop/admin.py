from django.contrib import admin

from shop.models import Basket

admin.site.register(Basket)
