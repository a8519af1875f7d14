import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Topics, configurations, offsets and the cluster through the Java admin client. */
final class AdminChecks {
    static void register(Map<String, Checks.Check> checks) {
        checks.put("create_topics_says_what_it_made", AdminChecks::createTopics);
        checks.put("validate_only_makes_nothing", AdminChecks::validateOnly);
        checks.put("describe_topics_by_name_and_id", AdminChecks::describeTopics);
        checks.put("describe_configs_has_sources_and_synonyms", AdminChecks::describeConfigs);
        checks.put("broker_configs_are_described", AdminChecks::describeBroker);
        checks.put("incremental_alter_sets_deletes_appends_subtracts", AdminChecks::alter);
        checks.put("create_partitions", AdminChecks::createPartitions);
        checks.put("delete_records_moves_the_start", AdminChecks::deleteRecords);
        checks.put("list_offsets_by_every_spec", AdminChecks::listOffsets);
        checks.put("describe_cluster_names_itself", AdminChecks::describeCluster);
        checks.put("describe_log_dirs_counts_bytes", AdminChecks::describeLogDirs);
        checks.put("delete_topics_by_id", AdminChecks::deleteTopics);
    }

    private static void createTopics() throws Exception {
        String name = "java-made-" + System.nanoTime();
        NewTopic wanted = new NewTopic(name, Optional.of(3), Optional.empty())
            .configs(Map.of("retention.ms", "4242"));
        CreateTopicsResult made = Checks.admin.createTopics(List.of(wanted));
        Checks.same(3, made.numPartitions(name).get());
        Checks.same(1, made.replicationFactor(name).get());
        Checks.same("4242", made.config(name).get().get("retention.ms").value());
        Checks.yes(!made.topicId(name).get().equals(Uuid.ZERO_UUID), "a topic id");
        Checks.refuses(TopicExistsException.class, () ->
            Checks.admin.createTopics(List.of(wanted)).all().get());
        Checks.refuses(InvalidReplicationFactorException.class, () ->
            Checks.admin.createTopics(List.of(new NewTopic(name + "r", 1, (short) 3))).all().get());
    }

    private static void validateOnly() throws Exception {
        String name = "java-dry-" + System.nanoTime();
        Checks.admin.createTopics(
            List.of(new NewTopic(name, 1, (short) 1)),
            new CreateTopicsOptions().validateOnly(true)).all().get();
        Checks.yes(!Checks.admin.listTopics().names().get().contains(name), "it was made");
    }

    private static void describeTopics() throws Exception {
        String name = Checks.topic(3);
        TopicDescription found =
            Checks.admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
        Checks.same(3, found.partitions().size());
        found.partitions().forEach(each -> {
            Checks.yes(each.leader() != null && each.leader().port() > 0, "a leader");
            Checks.same(1, each.replicas().size());
            Checks.same(1, each.isr().size());
        });
        Checks.yes(!found.isInternal(), "not internal");
        TopicCollection byId = TopicCollection.ofTopicIds(List.of(found.topicId()));
        Checks.same(name, Checks.admin.describeTopics(byId).allTopicIds().get()
            .get(found.topicId()).name());
        Checks.refuses(UnknownTopicOrPartitionException.class, () ->
            Checks.admin.describeTopics(List.of("java-nowhere")).allTopicNames().get());
    }

    private static Config configs(ConfigResource resource) throws Exception {
        return Checks.admin.describeConfigs(
            List.of(resource), new DescribeConfigsOptions().includeSynonyms(true))
            .all().get().get(resource);
    }

    private static ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private static void describeConfigs() throws Exception {
        String name = "java-configs-" + System.nanoTime();
        Checks.admin.createTopics(List.of(new NewTopic(name, 1, (short) 1)
            .configs(Map.of("retention.ms", "4242")))).all().get();
        Config found = configs(resource(name));
        ConfigEntry set = found.get("retention.ms");
        Checks.same("4242", set.value());
        Checks.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, set.source());
        Checks.same(ConfigEntry.ConfigType.LONG, set.type());
        Checks.yes(!set.synonyms().isEmpty(), "synonyms of retention.ms");
        ConfigEntry usual = found.get("cleanup.policy");
        Checks.same("delete", usual.value());
        Checks.same(ConfigEntry.ConfigSource.DEFAULT_CONFIG, usual.source());
        Checks.yes(usual.isDefault() && !usual.isReadOnly() && !usual.isSensitive(), "a default");
        for (String each : List.of("max.message.bytes", "segment.bytes", "compression.type",
                "min.insync.replicas", "message.timestamp.type", "retention.bytes")) {
            Checks.yes(found.get(each) != null && found.get(each).value() != null, each);
        }
    }

    private static void describeBroker() throws Exception {
        int id = Checks.admin.describeCluster().controller().get().id();
        ConfigResource broker =
            new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(id));
        Config found = configs(broker);
        // Debezium and Connect look at this one before they make their topics.
        Checks.same("1", found.get("default.replication.factor").value());
        Checks.yes(found.get("auto.create.topics.enable") != null, "auto.create.topics.enable");
    }

    private static void change(String topic, String name, String value, OpType how)
            throws Exception {
        Checks.admin.incrementalAlterConfigs(Map.of(resource(topic),
            List.of(new AlterConfigOp(new ConfigEntry(name, value), how)))).all().get();
    }

    private static void expect(String topic, String name, String value) {
        Checks.until(name + " = " + value, () -> {
            try {
                return value.equals(configs(resource(topic)).get(name).value());
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        });
    }

    private static void alter() throws Exception {
        String topic = Checks.topic(1);
        change(topic, "retention.ms", "777", OpType.SET);
        expect(topic, "retention.ms", "777");
        change(topic, "cleanup.policy", "compact", OpType.APPEND);
        expect(topic, "cleanup.policy", "delete,compact");
        expect(topic, "retention.ms", "777");
        change(topic, "cleanup.policy", "delete", OpType.SUBTRACT);
        expect(topic, "cleanup.policy", "compact");
        change(topic, "retention.ms", "", OpType.DELETE);
        expect(topic, "retention.ms", "604800000");
        Checks.refuses(InvalidConfigurationException.class, () ->
            change(topic, "retention.ms", "soon", OpType.SET));
    }

    private static void createPartitions() throws Exception {
        String topic = Checks.topic(2);
        Map<String, NewPartitions> wanted = Map.of(topic, NewPartitions.increaseTo(4));
        Checks.admin.createPartitions(
            wanted, new CreatePartitionsOptions().validateOnly(true)).all().get();
        Checks.same(2, Checks.admin.describeTopics(List.of(topic)).allTopicNames().get()
            .get(topic).partitions().size());
        Checks.admin.createPartitions(wanted).all().get();
        Checks.same(4, Checks.admin.describeTopics(List.of(topic)).allTopicNames().get()
            .get(topic).partitions().size());
        Checks.refuses(InvalidPartitionsException.class, () ->
            Checks.admin.createPartitions(wanted).all().get());
    }

    private static void deleteRecords() throws Exception {
        String topic = Checks.topic(1);
        TopicPartition where = new TopicPartition(topic, 0);
        Checks.write(topic, 20, System.currentTimeMillis());
        Checks.same(7L, Checks.admin.deleteRecords(
            Map.of(where, RecordsToDelete.beforeOffset(7))).lowWatermarks().get(where).get()
            .lowWatermark());
        Checks.same(7L, offset(where, OffsetSpec.earliest()).offset());
        Checks.refuses(OffsetOutOfRangeException.class, () -> Checks.admin.deleteRecords(
            Map.of(where, RecordsToDelete.beforeOffset(21))).all().get());
    }

    private static ListOffsetsResultInfo offset(TopicPartition where, OffsetSpec which)
            throws Exception {
        return Checks.admin.listOffsets(Map.of(where, which)).partitionResult(where).get();
    }

    private static void listOffsets() throws Exception {
        String topic = Checks.topic(1);
        TopicPartition where = new TopicPartition(topic, 0);
        Checks.same(-1L, offset(where, OffsetSpec.maxTimestamp()).offset());
        long start = System.currentTimeMillis() - 100_000;
        Checks.write(topic, 10, start);
        Checks.write(topic, 3, start - 50_000); // older records later
        Checks.same(0L, offset(where, OffsetSpec.earliest()).offset());
        Checks.same(13L, offset(where, OffsetSpec.latest()).offset());
        ListOffsetsResultInfo newest = offset(where, OffsetSpec.maxTimestamp());
        Checks.same(9L, newest.offset());
        Checks.same(start + 9000, newest.timestamp());
        ListOffsetsResultInfo middle = offset(where, OffsetSpec.forTimestamp(start + 3500));
        Checks.same(4L, middle.offset());
        Checks.same(start + 4000, middle.timestamp());
        Checks.same(-1L, offset(where, OffsetSpec.forTimestamp(start + 9001)).offset());
    }

    private static void describeCluster() throws Exception {
        DescribeClusterResult found = Checks.admin.describeCluster();
        Checks.same(1, found.nodes().get().size());
        Checks.yes(!found.clusterId().get().isEmpty(), "a cluster id");
        Checks.same(found.nodes().get().iterator().next().id(), found.controller().get().id());
    }

    private static void describeLogDirs() throws Exception {
        String topic = Checks.topic(2);
        Checks.write(topic, 50, System.currentTimeMillis());
        int id = Checks.admin.describeCluster().controller().get().id();
        Map<String, LogDirDescription> found =
            Checks.admin.describeLogDirs(List.of(id)).descriptions().get(id).get();
        Checks.same(1, found.size());
        LogDirDescription directory = found.values().iterator().next();
        Checks.same(null, directory.error());
        Checks.yes(directory.replicaInfos().get(new TopicPartition(topic, 0)).size() > 50, "size");
        Checks.same(0L, directory.replicaInfos().get(new TopicPartition(topic, 1)).size());
    }

    private static void deleteTopics() throws Exception {
        String name = Checks.topic(1);
        Uuid id = Checks.admin.describeTopics(List.of(name)).allTopicNames().get()
            .get(name).topicId();
        Checks.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
        Checks.yes(!Checks.admin.listTopics().names().get().containsAll(Set.of(name)), "gone");
        Checks.refuses(UnknownTopicOrPartitionException.class, () ->
            Checks.admin.deleteTopics(List.of(name)).all().get());
    }

    private AdminChecks() {}
}
