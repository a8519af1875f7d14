import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Future;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/** Producing and consuming with the Java clients' less common settings. */
final class ClientChecks {
    private static final Duration POLL = Duration.ofMillis(100);

    static void register(Map<String, Checks.Check> checks) {
        checks.put("every_acks_level_is_answered", ClientChecks::acks);
        checks.put("many_batches_keep_their_order", ClientChecks::order);
        checks.put("offsets_for_times_across_partitions", ClientChecks::times);
        checks.put("positions_with_epochs_are_validated", ClientChecks::epochs);
        checks.put("read_committed_sees_plain_records", ClientChecks::readCommitted);
        checks.put("min_bytes_waits_no_longer_than_max_wait", ClientChecks::maxWait);
        checks.put("small_fetch_sizes_still_progress", ClientChecks::smallFetches);
        checks.put("pattern_subscription_finds_new_topics", ClientChecks::pattern);
        checks.put("bounds_and_partitions_for", ClientChecks::bounds);
    }

    private static List<String> read(
            String topic, int count, Map<String, String> settings) {
        List<String> found = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = Records.consumer(settings)) {
            TopicPartition where = new TopicPartition(topic, 0);
            consumer.assign(List.of(where));
            consumer.seekToBeginning(List.of(where));
            Checks.until(count + " records", () -> {
                for (ConsumerRecord<byte[], byte[]> each : consumer.poll(POLL)) {
                    found.add(new String(each.value()));
                }
                return found.size() >= count;
            });
        }
        return found;
    }

    private static List<String> numbers(int count) {
        List<String> all = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            all.add(Integer.toString(i));
        }
        return all;
    }

    private static void acks() throws Exception {
        String topic = Checks.topic(1);
        long[] expected = {-1, 1, 2};
        String[] levels = {"0", "1", "all"};
        for (int i = 0; i < levels.length; i++) {
            Map<String, String> settings =
                Map.of("acks", levels[i], "enable.idempotence", "false");
            try (KafkaProducer<byte[], byte[]> producer = Records.producer(settings)) {
                Future<RecordMetadata> sent = producer.send(
                    new ProducerRecord<>(topic, 0, null, Integer.toString(i).getBytes()));
                Checks.same(expected[i], sent.get().offset());
            }
        }
        Checks.same(numbers(3), read(topic, 3, Map.of()));
    }

    private static void order() throws Exception {
        String topic = Checks.topic(1);
        Map<String, String> settings = Map.of(
            "batch.size", "2000", "linger.ms", "0", "compression.type", "lz4",
            "max.in.flight.requests.per.connection", "5");
        try (KafkaProducer<byte[], byte[]> producer = Records.producer(settings)) {
            for (int i = 0; i < 20_000; i++) {
                producer.send(
                    new ProducerRecord<>(topic, 0, null, Integer.toString(i).getBytes()));
            }
        }
        Checks.same(numbers(20_000), read(topic, 20_000, Map.of()));
    }

    private static void times() throws Exception {
        String topic = Checks.topic(3);
        long start = System.currentTimeMillis() - 60_000;
        Checks.write(topic, 20, start);
        Map<TopicPartition, Long> wanted = new HashMap<>();
        for (int partition = 0; partition < 3; partition++) {
            wanted.put(new TopicPartition(topic, partition), start + 4500);
        }
        try (KafkaConsumer<byte[], byte[]> consumer = Records.consumer(Map.of())) {
            Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(wanted);
            OffsetAndTimestamp zero = found.get(new TopicPartition(topic, 0));
            Checks.same(5L, zero.offset());
            Checks.same(start + 5000, zero.timestamp());
            Checks.same(null, found.get(new TopicPartition(topic, 1)));
        }
    }

    private static void epochs() throws Exception {
        String topic = Checks.topic(1);
        Checks.write(topic, 10, System.currentTimeMillis());
        TopicPartition where = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> consumer = Records.consumer(Map.of())) {
            consumer.assign(List.of(where));
            Optional<Integer>[] epoch = new Optional[] {Optional.empty()};
            consumer.seekToBeginning(List.of(where));
            Checks.until("the first record", () -> {
                for (ConsumerRecord<byte[], byte[]> each : consumer.poll(POLL)) {
                    epoch[0] = each.leaderEpoch();
                }
                return epoch[0].isPresent();
            });
            // A position with an epoch makes the client ask OffsetForLeaderEpoch (KIP-320).
            consumer.seek(where, new OffsetAndMetadata(4, epoch[0], ""));
            List<Long> seen = new ArrayList<>();
            Checks.until("the rest", () -> {
                consumer.poll(POLL).forEach(each -> seen.add(each.offset()));
                return seen.size() >= 6;
            });
            Checks.same(List.of(4L, 5L, 6L, 7L, 8L, 9L), seen);
        }
    }

    private static void readCommitted() throws Exception {
        String topic = Checks.topic(1);
        Checks.write(topic, 30, System.currentTimeMillis());
        Checks.same(numbers(30), read(topic, 30, Map.of("isolation.level", "read_committed")));
    }

    private static void maxWait() throws Exception {
        String topic = Checks.topic(1);
        Checks.write(topic, 5, System.currentTimeMillis());
        Checks.same(numbers(5), read(topic, 5, Map.of(
            "fetch.min.bytes", "1000000", "fetch.max.wait.ms", "300")));
    }

    private static void smallFetches() throws Exception {
        String topic = Checks.topic(1);
        try (KafkaProducer<byte[], byte[]> producer = Records.producer(Map.of())) {
            for (int i = 0; i < 20; i++) {
                producer.send(new ProducerRecord<>(topic, 0, null, new byte[50_000])).get();
            }
        }
        // Every batch is larger than what is asked for: the first must come all the same.
        Checks.same(20, read(topic, 20, Map.of(
            "max.partition.fetch.bytes", "100", "fetch.max.bytes", "100")).size());
    }

    private static void pattern() throws Exception {
        String topic = Checks.topic(1);
        Map<String, String> settings = Map.of(
            "group.id", topic, "auto.offset.reset", "earliest", "metadata.max.age.ms", "300");
        String later = topic + "-later";
        try (KafkaConsumer<byte[], byte[]> consumer = Records.consumer(settings)) {
            consumer.subscribe(Pattern.compile(Pattern.quote(topic) + ".*"));
            Checks.until("the topic there is", () -> {
                consumer.poll(POLL);
                return consumer.assignment().size() == 1;
            });
            Checks.admin.createTopics(List.of(
                new org.apache.kafka.clients.admin.NewTopic(later, 2, (short) 1))).all().get();
            Checks.until("the topic that came later", () -> {
                consumer.poll(POLL);
                return consumer.assignment().size() == 3;
            });
        }
    }

    private static void bounds() throws Exception {
        String topic = Checks.topic(2);
        Checks.write(topic, 8, System.currentTimeMillis());
        List<TopicPartition> all =
            List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1));
        try (KafkaConsumer<byte[], byte[]> consumer = Records.consumer(Map.of())) {
            List<PartitionInfo> found = consumer.partitionsFor(topic);
            Checks.same(2, found.size());
            Checks.same(Map.of(all.get(0), 8L, all.get(1), 0L), consumer.endOffsets(all));
            Checks.same(Map.of(all.get(0), 0L, all.get(1), 0L), consumer.beginningOffsets(all));
        }
    }

    private ClientChecks() {}
}
