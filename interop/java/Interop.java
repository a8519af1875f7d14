import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.protocol.Errors;

/**
 * One JVM for the whole interop suite: a JSON request per line on stdin, a JSON answer per line on
 * stdout. A JVM per check would spend the suite's time on starting.
 */
public final class Interop {
    /** One thing that can be asked for. */
    interface Operation {
        Object run(JsonNode request) throws Exception;
    }

    static final ObjectMapper JSON = new ObjectMapper();
    static final Map<String, Operation> OPERATIONS = new LinkedHashMap<>();

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        Tools.takeOver();
        String address = arguments[0];
        Records.register(OPERATIONS, address);
        Admins.register(OPERATIONS, address);
        Checks.register(OPERATIONS, address);
        Tools.register(OPERATIONS);
        BufferedReader requests =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = requests.readLine()) != null; ) {
            answers.println(JSON.writeValueAsString(answer(JSON.readTree(line))));
            answers.flush();
        }
        Records.close();
        Admins.close();
        Checks.admin.close();
    }

    private static ObjectNode answer(JsonNode request) {
        ObjectNode answer = JSON.createObjectNode();
        try {
            Operation operation = OPERATIONS.get(request.get("do").asText());
            answer.set("result", JSON.valueToTree(operation.run(request)));
        } catch (Throwable error) {
            Throwable cause = error;
            while (!(cause instanceof ApiException) && cause.getCause() != null) {
                cause = cause.getCause();
            }
            if (!(cause instanceof ApiException)) {
                cause = error;
            }
            java.io.StringWriter trace = new java.io.StringWriter();
            error.printStackTrace(new java.io.PrintWriter(trace));
            answer.put("error", trace.toString());
            answer.put("code", (int) Errors.forException(cause).code());
        }
        return answer;
    }

    private Interop() {}
}
