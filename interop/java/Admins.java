import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** The admin client, one operation each. */
final class Admins {
    private static Admin admin;

    static void register(Map<String, Interop.Operation> operations, String address) {
        admin = connect(address);
        operations.put("create_topic", Admins::createTopic);
        operations.put("topics", request -> admin.listTopics().names().get());
        operations.put("delete_topic", request ->
            admin.deleteTopics(List.of(topic(request))).all().get());
        operations.put("partitions", request ->
            admin.describeTopics(List.of(topic(request))).allTopicNames().get()
                .get(topic(request)).partitions().size());
        operations.put("topic_config", Admins::topicConfig);
        operations.put("alter_config", Admins::alterConfig);
        operations.put("add_partitions", request ->
            admin.createPartitions(Map.of(
                topic(request), NewPartitions.increaseTo(request.get("total").asInt())))
                .all().get());
        operations.put("delete_records", request ->
            admin.deleteRecords(Map.of(
                Records.where(request),
                RecordsToDelete.beforeOffset(request.get("before").asLong())))
                .lowWatermarks().get(Records.where(request)).get().lowWatermark());
        operations.put("bounds", request -> new long[] {
            offset(Records.where(request), OffsetSpec.earliest()),
            offset(Records.where(request), OffsetSpec.latest())});
        operations.put("committed", Admins::committed);
        operations.put("groups", request -> {
            List<String> names = new ArrayList<>();
            admin.listGroups().all().get().forEach(each -> names.add(each.groupId()));
            return names;
        });
        operations.put("group_size", request ->
            admin.describeConsumerGroups(List.of(request.get("group").asText())).all().get()
                .get(request.get("group").asText()).members().size());
    }

    static Admin connect(String address) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        return Admin.create(properties);
    }

    static void close() {
        admin.close();
    }

    private static String topic(JsonNode request) {
        return request.get("topic").asText();
    }

    private static long offset(TopicPartition where, OffsetSpec which) throws Exception {
        return admin.listOffsets(Map.of(where, which)).partitionResult(where).get().offset();
    }

    private static Map<String, String> strings(JsonNode object) {
        Map<String, String> found = new HashMap<>();
        object.fields().forEachRemaining(each -> found.put(each.getKey(), each.getValue().asText()));
        return found;
    }

    private static Object createTopic(JsonNode request) throws Exception {
        NewTopic topic =
            new NewTopic(topic(request), request.get("partitions").asInt(), (short) 1);
        topic.configs(strings(request.get("config")));
        admin.createTopics(List.of(topic)).all().get();
        return null;
    }

    private static ConfigResource resource(JsonNode request) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic(request));
    }

    private static Object topicConfig(JsonNode request) throws Exception {
        Map<String, String> found = new HashMap<>();
        admin.describeConfigs(List.of(resource(request))).all().get().get(resource(request))
            .entries().forEach(each -> found.put(each.name(), each.value()));
        return found;
    }

    private static Object alterConfig(JsonNode request) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        strings(request.get("config")).forEach((name, value) -> changes.add(
            new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(Map.of(resource(request), changes)).all().get();
        return null;
    }

    private static Object committed(JsonNode request) throws Exception {
        OffsetAndMetadata found =
            admin.listConsumerGroupOffsets(request.get("group").asText())
                .partitionsToOffsetAndMetadata().get().get(Records.where(request));
        return found == null ? null : found.offset();
    }

    private Admins() {}
}
