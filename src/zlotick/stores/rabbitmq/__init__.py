"""Distribution to other programs: every batch to a topic exchange."""

from zlotick.stores.rabbitmq.connector import RabbitMQConnector

__all__ = ["RabbitMQConnector"]
