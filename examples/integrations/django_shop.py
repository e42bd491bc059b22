"""Django: the order and its mail are one transaction.atomic()."""

import json

from django.db import connection, models, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from shop import Mail, mail


class Order(models.Model):
    id = models.BigAutoField(primary_key=True)
    customer = models.TextField()
    amount = models.BigIntegerField()

    class Meta:
        app_label = "shop"
        db_table = "orders"
        managed = False


@transaction.atomic
def place_order(request: HttpRequest) -> JsonResponse:
    wanted = json.loads(request.body)
    order = Order.objects.create(customer=wanted["customer"], amount=wanted["amount"])
    letter = Mail(address=order.customer, body=f"Thank you for {order.amount}.")
    mail.enqueue(connection, letter, unique_key=f"order {order.id}")
    return JsonResponse({"order": order.id}, status=201)


urlpatterns = [path("orders", place_order)]
