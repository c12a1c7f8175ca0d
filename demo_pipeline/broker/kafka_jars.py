"""Apache Kafka as a program that Maven downloads."""

from typing import Final

from demo_pipeline.broker.maven import JavaProgram

VERSION: Final = "4.3.1"
"""Kafka's own version; its jars are `org.apache.kafka:kafka_2.13`."""

KAFKA: Final = JavaProgram(
    name="Apache Kafka",
    version=VERSION,
    folder=f"kafka-{VERSION}",
    dependencies=f"""
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <!-- Without a logger, Kafka does not report why a start failed. -->
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>""",
    file="kafka_*.jar",
)
"""Apache Kafka's jars."""
