import java.util.Map;

/** What only the Java client says or does; each check throws where an answer is not right. */
final class Checks {
    static void register(Map<String, Interop.Operation> operations, String address) {
    }

    private Checks() {}
}
