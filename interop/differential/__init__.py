"""The same requests to Mainstem and to Apache Kafka, and what they may answer differently."""
