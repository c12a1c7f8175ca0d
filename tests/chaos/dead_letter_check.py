"""Check that no record became a dead letter."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition

from demo_pipeline.services import DEAD_LETTER_TOPICS


async def dead_letter_problems(bootstrap_servers: str) -> list[str]:
    """List the topics with dead letters and their numbers."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers)
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, number)
            for topic, split in DEAD_LETTER_TOPICS.items()
            for number in range(split)
        ]
        ends = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    return [f"{end} dead letters in {partition.topic}" for partition, end in ends.items() if end]
