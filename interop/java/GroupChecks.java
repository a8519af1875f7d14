import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;

/** Groups through the Java consumer and admin client. */
final class GroupChecks {
    private static final Duration POLL = Duration.ofMillis(100);

    static void register(Map<String, Checks.Check> checks) {
        checks.put("describe_group_shows_members_and_assignments", GroupChecks::describe);
        checks.put("list_groups_filters_by_state", GroupChecks::list);
        checks.put("alter_and_delete_group_offsets", GroupChecks::offsets);
        checks.put("groups_with_members_are_protected", GroupChecks::protectedGroups);
        checks.put("cooperative_members_keep_what_they_have", GroupChecks::cooperative);
        checks.put("second_holder_of_an_instance_id_fences_the_first", GroupChecks::fence);
        checks.put("static_member_is_removed_by_the_admin", GroupChecks::remove);
        checks.put("commit_metadata_round_trips", GroupChecks::metadata);
        checks.put("auto_commit_on_close", GroupChecks::autoCommit);
    }

    private static KafkaConsumer<byte[], byte[]> member(
            String group, String topic, String... settings) {
        Map<String, String> all = new HashMap<>();
        all.put("group.id", group);
        all.put("auto.offset.reset", "earliest");
        for (int i = 0; i < settings.length; i += 2) {
            all.put(settings[i], settings[i + 1]);
        }
        KafkaConsumer<byte[], byte[]> consumer = Records.consumer(all);
        consumer.subscribe(List.of(topic));
        return consumer;
    }

    @SafeVarargs
    private static void settle(int partitions, KafkaConsumer<byte[], byte[]>... members) {
        Checks.until("an even split of " + partitions, () -> {
            Set<TopicPartition> owned = new HashSet<>();
            int total = 0;
            boolean even = true;
            for (KafkaConsumer<byte[], byte[]> each : members) {
                each.poll(POLL);
                owned.addAll(each.assignment());
                total += each.assignment().size();
                even &= each.assignment().size() == partitions / members.length;
            }
            return even && owned.size() == partitions && total == partitions;
        });
    }

    private static ConsumerGroupDescription described(String group) throws Exception {
        return Checks.admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    }

    private static void describe() throws Exception {
        String topic = Checks.topic(4);
        try (var one = member(topic, topic, "client.id", "first");
                var two = member(topic, topic, "client.id", "second")) {
            settle(4, one, two);
            ConsumerGroupDescription found = described(topic);
            Checks.same(GroupState.STABLE, found.groupState());
            Checks.same("range", found.partitionAssignor());
            Checks.yes(found.coordinator().port() > 0, "a coordinator");
            Set<String> clients = new HashSet<>();
            Set<TopicPartition> owned = new HashSet<>();
            for (MemberDescription each : found.members()) {
                clients.add(each.clientId());
                owned.addAll(each.assignment().topicPartitions());
                Checks.same("/127.0.0.1", each.host());
            }
            Checks.same(Set.of("first", "second"), clients);
            Checks.same(4, owned.size());
        }
        Checks.same(GroupState.EMPTY, described(topic).groupState());
        Checks.refuses(GroupIdNotFoundException.class, () -> described("java-no-such-group"));
    }

    private static void list() throws Exception {
        String topic = Checks.topic(1);
        try (var one = member(topic, topic)) {
            settle(1, one);
            Checks.yes(names(GroupState.STABLE).contains(topic), "stable while a member is in");
            Checks.yes(!names(GroupState.EMPTY).contains(topic), "not empty then");
        }
        Checks.yes(names(GroupState.EMPTY).contains(topic), "empty when it left");
    }

    private static Set<String> names(GroupState state) throws Exception {
        Set<String> names = new HashSet<>();
        for (GroupListing each : Checks.admin.listGroups(
                new ListGroupsOptions().inGroupStates(Set.of(state))).all().get()) {
            names.add(each.groupId());
            Checks.same(state, each.groupState().orElse(null));
        }
        return names;
    }

    private static Map<TopicPartition, OffsetAndMetadata> committed(String group)
            throws Exception {
        return Checks.admin.listConsumerGroupOffsets(group)
            .partitionsToOffsetAndMetadata().get();
    }

    private static void offsets() throws Exception {
        String topic = Checks.topic(2);
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        Checks.write(topic, 10, System.currentTimeMillis());
        Checks.admin.alterConsumerGroupOffsets(topic, Map.of(
            zero, new OffsetAndMetadata(6), one, new OffsetAndMetadata(0))).all().get();
        Checks.same(6L, committed(topic).get(zero).offset());
        try (var reader = member(topic, topic)) {
            List<Long> seen = new ArrayList<>();
            Checks.until("four records", () -> {
                reader.poll(POLL).forEach(each -> seen.add(each.offset()));
                return seen.size() >= 4;
            });
            Checks.same(List.of(6L, 7L, 8L, 9L), seen);
        }
        Checks.admin.deleteConsumerGroupOffsets(topic, Set.of(zero)).all().get();
        Checks.same(Set.of(one), committed(topic).keySet());
        Checks.admin.deleteConsumerGroups(List.of(topic)).all().get();
        Checks.same(Map.of(), committed(topic));
        Checks.refuses(GroupIdNotFoundException.class, () ->
            Checks.admin.deleteConsumerGroups(List.of(topic)).all().get());
    }

    private static void protectedGroups() throws Exception {
        String topic = Checks.topic(1);
        TopicPartition zero = new TopicPartition(topic, 0);
        try (var one = member(topic, topic)) {
            settle(1, one);
            one.commitSync(Map.of(zero, new OffsetAndMetadata(0)));
            Checks.refuses(GroupNotEmptyException.class, () ->
                Checks.admin.deleteConsumerGroups(List.of(topic)).all().get());
            Checks.refuses(GroupSubscribedToTopicException.class, () ->
                Checks.admin.deleteConsumerGroupOffsets(topic, Set.of(zero))
                    .partitionResult(zero).get());
            Checks.refuses(org.apache.kafka.common.errors.UnknownMemberIdException.class, () ->
                Checks.admin.alterConsumerGroupOffsets(
                    topic, Map.of(zero, new OffsetAndMetadata(0))).all().get());
        }
    }

    private static void cooperative() throws Exception {
        String topic = Checks.topic(6);
        String strategy = CooperativeStickyAssignor.class.getName();
        Set<TopicPartition> revoked = new HashSet<>();
        String name = "partition.assignment.strategy";
        try (var one = member(topic, topic, name, strategy);
                var two = member(topic, topic, name, strategy)) {
            one.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    revoked.addAll(partitions);
                }

                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) { }
            });
            settle(6, one);
            Set<TopicPartition> before = new HashSet<>(one.assignment());
            settle(6, one, two);
            Checks.same(3, revoked.size());
            before.removeAll(revoked);
            Checks.same(before, one.assignment());
        }
    }

    private static void fence() throws Exception {
        String topic = Checks.topic(1);
        try (var one = member(topic, topic, "group.instance.id", "same");
                var two = member(topic, topic, "group.instance.id", "same")) {
            settle(1, one);
            settle(1, two);
            Checks.refuses(FencedInstanceIdException.class, () ->
                Checks.until("the first to be fenced", () -> {
                    one.poll(POLL);
                    one.commitSync(Map.of(
                        new TopicPartition(topic, 0), new OffsetAndMetadata(0)));
                    return false;
                }));
        }
    }

    private static void remove() throws Exception {
        String topic = Checks.topic(2);
        try (var one = member(topic, topic, "group.instance.id", "rock")) {
            settle(2, one);
        }
        Checks.same(1, described(topic).members().size());
        Checks.admin.removeMembersFromConsumerGroup(topic,
            new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("rock"))))
            .all().get();
        Checks.same(0, described(topic).members().size());
    }

    private static void metadata() throws Exception {
        String topic = Checks.topic(1);
        TopicPartition zero = new TopicPartition(topic, 0);
        String note = "where I was: 世界 " + "x".repeat(2000);
        try (var one = member(topic, topic)) {
            settle(1, one);
            one.commitSync(Map.of(zero, new OffsetAndMetadata(0, note)));
            Checks.same(note, one.committed(Set.of(zero)).get(zero).metadata());
            Checks.refuses(org.apache.kafka.common.errors.OffsetMetadataTooLarge.class, () ->
                one.commitSync(Map.of(zero, new OffsetAndMetadata(0, "x".repeat(5000)))));
        }
        Checks.same(note, committed(topic).get(zero).metadata());
    }

    private static void autoCommit() throws Exception {
        String topic = Checks.topic(1);
        Checks.write(topic, 25, System.currentTimeMillis());
        try (var one = member(topic, topic, "enable.auto.commit", "true")) {
            int[] seen = {0};
            Checks.until("25 records", () -> {
                seen[0] += one.poll(POLL).count();
                return seen[0] == 25;
            });
        }
        Checks.same(25L, committed(topic).get(new TopicPartition(topic, 0)).offset());
    }

    private GroupChecks() {}
}
