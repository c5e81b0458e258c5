"""Prints the sales of a made-up shop by month.

python sales.py [ORDERS]
"""

import random
import sys
from collections import Counter
from dataclasses import dataclass


@dataclass
class Product:
    sku: str
    name: str
    cents: int

    def matches(self, sku):
        return normalise(self.sku) == normalise(sku)


@dataclass
class Order:
    month: int
    sku: str
    quantity: int


def normalise(sku):
    """Customers write ` ab-012 `, the catalogue has `AB-12`."""
    letters, digits = sku.strip().upper().split("-")
    return letters, int(digits)


class Catalogue:
    def __init__(self, products):
        self.products = products

    def find(self, sku):
        for product in self.products:
            if product.matches(sku):
                return product
        raise KeyError(sku)


def catalogue(source):
    letters = "ABCDEFGHKLMNPRSTUVWXYZ"
    skus = [f"{source.choice(letters)}{source.choice(letters)}-{number}" for number in range(300)]
    return Catalogue([Product(sku, f"article {sku}", source.randint(100, 9999)) for sku in skus])


def orders(source, products, count):
    for _ in range(count):
        letters, digits = source.choice(products).sku.split("-")
        yield Order(source.randint(1, 12), f" {letters.lower()}-{int(digits):03}", source.randint(1, 5))


def sales(catalogue, orders):
    cents = Counter()
    for order in orders:
        product = catalogue.find(order.sku)
        cents[order.month] += product.cents * order.quantity
    return cents


def report(cents):
    return "\n".join(f"{month:2}  {cents[month] / 100:12,.2f}" for month in sorted(cents))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    source = random.Random(2026)
    shop = catalogue(source)
    print(report(sales(shop, orders(source, shop.products, count))))


if __name__ == "__main__":
    main()
