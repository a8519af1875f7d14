// Apache Kafka's own encoder and decoder around the golden files. With kafka-clients and its
// codec jars on the class path:
//   java -cp "$LIBS/*" Goldens.java write DIR    writes DIR/java_*.bin from DIR/corpus.txt
//   java -cp "$LIBS/*" Goldens.java read FILE... prints each file's records as corpus lines
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.StringJoiner;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;

public class Goldens {
    static final HexFormat HEX = HexFormat.of();

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("write")) {
            write(Path.of(arguments[1]));
        } else {
            for (int i = 1; i < arguments.length; i++) read(Path.of(arguments[i]));
        }
    }

    static byte[] bytes(String text) {
        return text.equals("-") ? null : HEX.parseHex(text);
    }

    static SimpleRecord[] corpus(Path directory) throws Exception {
        List<SimpleRecord> records = new ArrayList<>();
        for (String line : Files.readAllLines(directory.resolve("corpus.txt"))) {
            String[] parts = line.split("\t", -1);
            List<Header> headers = new ArrayList<>();
            for (String pair : parts[3].split(",")) {
                if (pair.isEmpty()) continue;
                String[] sides = pair.split("=", -1);
                headers.add(new RecordHeader(new String(bytes(sides[0]), StandardCharsets.UTF_8), bytes(sides[1])));
            }
            records.add(new SimpleRecord(Long.parseLong(parts[0]), bytes(parts[1]), bytes(parts[2]),
                headers.toArray(new Header[0])));
        }
        return records.toArray(new SimpleRecord[0]);
    }

    static void write(Path directory) throws Exception {
        SimpleRecord[] records = corpus(directory);
        String[] names = {"none", "gzip", "snappy", "lz4", "zstd"};
        Compression[] codecs = {Compression.NONE, Compression.gzip().build(), Compression.snappy().build(),
            Compression.lz4().build(), Compression.zstd().build()};
        for (int i = 0; i < names.length; i++) {
            save(directory, names[i], MemoryRecords.withRecords(0L, codecs[i], records));
        }
        save(directory, "idempotent_lz4", MemoryRecords.withIdempotentRecords(codecs[3], 4000L, (short) 7, 123, records));
        save(directory, "transactional_none",
            MemoryRecords.withTransactionalRecords(0L, codecs[0], 4000L, (short) 7, 123, 5, records));
        save(directory, "append_time_zstd", MemoryRecords.withRecords(RecordBatch.MAGIC_VALUE_V2, 1000L, codecs[4],
            TimestampType.LOG_APPEND_TIME, records));
        save(directory, "control", MemoryRecords.withEndTransactionMarker(1100L, 1357034400000L, 5, 4000L, (short) 7,
            new EndTransactionMarker(ControlRecordType.COMMIT, 0)));
    }

    static void save(Path directory, String name, MemoryRecords records) throws Exception {
        ByteBuffer buffer = records.buffer();
        byte[] data = new byte[buffer.remaining()];
        buffer.get(data);
        Files.write(directory.resolve("java_" + name + ".bin"), data);
    }

    static String hex(ByteBuffer buffer) {
        if (buffer == null) return "-";
        byte[] data = new byte[buffer.remaining()];
        buffer.duplicate().get(data);
        return HEX.formatHex(data);
    }

    static void read(Path file) throws Exception {
        MemoryRecords all = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
        for (RecordBatch batch : all.batches()) {
            batch.ensureValid();
            for (Record record : batch) {
                StringJoiner headers = new StringJoiner(",");
                for (Header header : record.headers()) {
                    headers.add(HEX.formatHex(header.key().getBytes(StandardCharsets.UTF_8)) + "="
                        + hex(header.value() == null ? null : ByteBuffer.wrap(header.value())));
                }
                System.out.println(record.timestamp() + "\t" + hex(record.key()) + "\t" + hex(record.value()) + "\t" + headers);
            }
        }
    }
}
