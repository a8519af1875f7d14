import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** What only the Java clients say or do: each check throws where an answer is not right. */
final class Checks {
    /** One behaviour. */
    interface Check {
        void run() throws Exception;
    }

    /** Something that must fail. */
    interface Act {
        void run() throws Exception;
    }

    static final Map<String, Check> ALL = new LinkedHashMap<>();
    static Admin admin;
    private static int topics;

    static void register(Map<String, Interop.Operation> operations, String address) {
        admin = Admins.connect(address);
        AdminChecks.register(ALL);
        GroupChecks.register(ALL);
        ClientChecks.register(ALL);
        operations.put("checks", request -> ALL.keySet());
        operations.put("check", request -> {
            ALL.get(request.get("name").asText()).run();
            return null;
        });
    }

    /** A new topic with a name of its own. */
    static String topic(int partitions) throws Exception {
        String name = "java-check-" + ++topics + "-" + System.nanoTime();
        admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1))).all().get();
        return name;
    }

    /** Write "0", "1", … to partition 0, a second apart from {@code start} on. */
    static void write(String topic, int count, long start) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = Records.producer(Map.of())) {
            for (int i = 0; i < count; i++) {
                producer.send(new ProducerRecord<>(
                    topic, 0, start + 1000L * i, null, Integer.toString(i).getBytes()));
            }
        }
    }

    static void same(Object expected, Object found) {
        if (!Objects.equals(expected, found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    static void yes(boolean fact, String what) {
        if (!fact) {
            throw new AssertionError(what);
        }
    }

    /** Call {@code step} (which waits by itself) until it is true, for at most 30 s. */
    static void until(String what, BooleanSupplier step) {
        long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!step.getAsBoolean()) {
            yes(System.nanoTime() < deadline, "gave up after 30 s: " + what);
        }
    }

    static void refuses(Class<? extends Throwable> kind, Act act) throws Exception {
        try {
            act.run();
        } catch (Throwable error) {
            Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
            if (kind.isInstance(cause)) {
                return;
            }
            throw new AssertionError("expected " + kind.getSimpleName(), error);
        }
        throw new AssertionError("expected " + kind.getSimpleName() + ", nothing was refused");
    }

    private Checks() {}
}
