"""Apache Kafka through aiokafka: wrapped clients, zero-code instrumentation, connections."""
