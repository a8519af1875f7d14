import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The producer and the consumer, and members of groups by number. */
final class Records {
    private static final Map<Integer, KafkaConsumer<byte[], byte[]>> MEMBERS = new HashMap<>();
    private static String address;
    private static int nextMember;

    static void register(Map<String, Interop.Operation> operations, String broker) {
        address = broker;
        operations.put("produce", Records::produce);
        operations.put("read", Records::read);
        operations.put("offset_at", Records::offsetAt);
        operations.put("join", Records::join);
        operations.put("poll", Records::poll);
        operations.put("assignment", Records::assignment);
        operations.put("commit", Records::commit);
        operations.put("leave", Records::leave);
    }

    static void close() {
        MEMBERS.values().forEach(KafkaConsumer::close);
    }

    static KafkaProducer<byte[], byte[]> producer(Map<String, String> settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        properties.put("max.request.size", "10000000");
        properties.put("linger.ms", "5");
        properties.putAll(settings);
        return new KafkaProducer<>(
            properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Map<String, String> settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        properties.put("enable.auto.commit", "false");
        properties.put("heartbeat.interval.ms", "500");
        properties.putAll(settings);
        return new KafkaConsumer<>(
            properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static byte[] bytes(JsonNode node) throws Exception {
        return node == null || node.isNull() ? null : node.binaryValue();
    }

    private static Object produce(JsonNode request) throws Exception {
        Map<String, String> settings = Map.of(
            "compression.type", request.get("codec").asText(),
            "enable.idempotence", request.get("idempotent").asText());
        Integer partition =
            request.get("partition").isNull() ? null : request.get("partition").asInt();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(settings)) {
            for (JsonNode each : request.get("records")) {
                JsonNode timestamp = each.get("timestamp");
                ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
                    request.get("topic").asText(),
                    partition,
                    timestamp.isNull() ? null : timestamp.asLong(),
                    bytes(each.get("key")),
                    bytes(each.get("value")));
                for (JsonNode header : each.get("headers")) {
                    record.headers().add(header.get(0).asText(), bytes(header.get(1)));
                }
                sent.add(producer.send(record));
            }
        }
        List<long[]> places = new ArrayList<>();
        for (Future<RecordMetadata> each : sent) {
            places.add(new long[] {each.get().partition(), each.get().offset()});
        }
        return places;
    }

    private static ObjectNode placed(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode node = Interop.JSON.createObjectNode();
        node.put("key", record.key()).put("value", record.value());
        node.put("timestamp", record.timestamp());
        node.put("partition", record.partition()).put("offset", record.offset());
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(header.value());
        }
        return node;
    }

    private static Object read(JsonNode request) {
        TopicPartition where = where(request);
        int count = request.get("count").asInt();
        List<ObjectNode> found = new ArrayList<>();
        long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        try (KafkaConsumer<byte[], byte[]> consumer =
                consumer(Map.of("auto.offset.reset", "none"))) {
            consumer.assign(List.of(where));
            consumer.seek(where, request.get("start").asLong());
            while (found.size() < count && System.nanoTime() < deadline) {
                consumer.poll(Duration.ofMillis(500)).forEach(each -> found.add(placed(each)));
            }
        } catch (org.apache.kafka.clients.consumer.OffsetOutOfRangeException error) {
            throw new org.apache.kafka.common.errors.OffsetOutOfRangeException(error.getMessage());
        }
        return found.size() < count ? found : found.subList(0, count);
    }

    static TopicPartition where(JsonNode request) {
        return new TopicPartition(
            request.get("topic").asText(), request.get("partition").asInt());
    }

    private static Object offsetAt(JsonNode request) {
        TopicPartition where = where(request);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            OffsetAndTimestamp found =
                consumer.offsetsForTimes(Map.of(where, request.get("timestamp").asLong()))
                    .get(where);
            return found == null ? null : found.offset();
        }
    }

    private static Object join(JsonNode request) {
        Map<String, String> settings = new HashMap<>();
        request.get("settings").fields()
            .forEachRemaining(each -> settings.put(each.getKey(), each.getValue().asText()));
        KafkaConsumer<byte[], byte[]> consumer = consumer(settings);
        consumer.subscribe(List.of(request.get("topic").asText()));
        MEMBERS.put(++nextMember, consumer);
        return nextMember;
    }

    private static KafkaConsumer<byte[], byte[]> member(JsonNode request) {
        return MEMBERS.get(request.get("member").asInt());
    }

    private static Object poll(JsonNode request) {
        List<ObjectNode> found = new ArrayList<>();
        member(request).poll(Duration.ofMillis(100)).forEach(each -> found.add(placed(each)));
        return found;
    }

    private static Object assignment(JsonNode request) {
        return member(request).assignment().stream().map(TopicPartition::partition).toList();
    }

    private static Object commit(JsonNode request) {
        if (request.get("offsets").isNull()) {
            member(request).commitSync();
            return null;
        }
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        String topic = request.get("topic").asText();
        request.get("offsets").fields().forEachRemaining(each -> offsets.put(
            new TopicPartition(topic, Integer.parseInt(each.getKey())),
            new OffsetAndMetadata(each.getValue().asLong(), "by hand")));
        member(request).commitSync(offsets);
        return null;
    }

    private static Object leave(JsonNode request) {
        MEMBERS.remove(request.get("member").asInt()).close();
        return null;
    }

    private Records() {}
}
