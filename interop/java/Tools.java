import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main method of Apache Kafka's own command-line tools, unmodified, with its standard
 * streams captured and its exit code caught, many in one JVM.
 */
final class Tools {
    /** Thrown instead of ending the JVM. */
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1L;
        final int status;

        Ended(int status) {
            super("exit " + status);
            this.status = status;
        }
    }

    /** Scala keeps the stream it first saw, so the stream stays and its target changes. */
    private static final class Switch extends OutputStream {
        volatile OutputStream target = System.err;

        @Override
        public void write(int octet) throws java.io.IOException {
            target.write(octet);
        }

        @Override
        public void write(byte[] octets, int offset, int length) throws java.io.IOException {
            target.write(octets, offset, length);
        }
    }

    private static final Switch OUTPUT = new Switch();
    private static final Switch ERRORS = new Switch();
    private static volatile Integer firstExit;

    static void takeOver() {
        System.setOut(new PrintStream(OUTPUT, true, StandardCharsets.UTF_8));
        ERRORS.target = System.err;
        System.setErr(new PrintStream(ERRORS, true, StandardCharsets.UTF_8));
        Exit.Procedure end = (status, message) -> {
            if (firstExit == null) {
                firstExit = status;
            }
            throw new Ended(status);
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((name, hook) -> { });
    }

    static void register(Map<String, Interop.Operation> operations) {
        operations.put("tool", Tools::run);
    }

    private static Object run(JsonNode request) throws Exception {
        String[] arguments =
            Interop.JSON.convertValue(request.get("arguments"), String[].class);
        OutputStream usualErrors = ERRORS.target;
        java.io.InputStream usualInput = System.in;
        ByteArrayOutputStream output = new ByteArrayOutputStream();
        ByteArrayOutputStream errors = new ByteArrayOutputStream();
        OUTPUT.target = output;
        ERRORS.target = errors;
        System.setIn(new ByteArrayInputStream(request.get("input").binaryValue()));
        firstExit = null;
        try {
            Class.forName(request.get("class").asText())
                .getMethod("main", String[].class)
                .invoke(null, (Object) arguments);
        } catch (InvocationTargetException error) {
            if (!(error.getCause() instanceof Ended)) {
                error.getCause().printStackTrace();
                firstExit = firstExit == null ? Integer.valueOf(1) : firstExit;
            }
        } finally {
            System.out.flush();
            System.err.flush();
            OUTPUT.target = usualErrors;
            ERRORS.target = usualErrors;
            System.setIn(usualInput);
        }
        return Map.of(
            "code", firstExit == null ? 0 : firstExit,
            "output", output.toByteArray(),
            "errors", errors.toByteArray());
    }

    private Tools() {}
}
