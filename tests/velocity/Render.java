import com.google.gson.stream.JsonReader;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.commons.lang.StringEscapeUtils;
import org.apache.velocity.Template;
import org.apache.velocity.VelocityContext;
import org.apache.velocity.app.VelocityEngine;
import org.apache.velocity.app.event.EventCartridge;
import org.apache.velocity.app.event.InvalidReferenceEventHandler;
import org.apache.velocity.context.Context;
import org.apache.velocity.runtime.log.NullLogChute;
import org.apache.velocity.runtime.resource.loader.StringResourceLoader;
import org.apache.velocity.util.introspection.Info;

/**
 * Renders mapping templates by Apache Velocity, with API Gateway's variables around it.
 *
 * Reads one JSON object a line: "template", "body", "path", "querystring", "header", "context", "stageVariables", and
 * "absent", which is what a reference to nothing gives: "" as on API Gateway, or null as Velocity by itself has it.
 * Writes one JSON object a line: "text" and "context" as the template left it, or "error".
 */
public class Render {
    public static void main(String[] arguments) throws Exception {
        VelocityEngine velocity = new VelocityEngine();
        velocity.setProperty("runtime.log.logsystem.class", NullLogChute.class.getName());
        velocity.setProperty("resource.loader", "string");
        velocity.setProperty("string.resource.loader.class", StringResourceLoader.class.getName());
        velocity.setProperty("string.resource.loader.cache", true);
        velocity.init();
        PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            output.println(ascii(json(render(velocity, (Map<?, ?>) parse(line)))));
        }
    }

    static Map<String, Object> render(VelocityEngine velocity, Map<?, ?> request) {
        VelocityContext variables = new VelocityContext();
        variables.put("input", new Input(request));
        variables.put("util", new Util());
        variables.put("context", request.get("context"));
        variables.put("stageVariables", request.get("stageVariables"));
        if (request.get("absent") != null) {
            EventCartridge cartridge = new EventCartridge();
            cartridge.addEventHandler(new Absent(request.get("absent")));
            cartridge.attachToContext(variables);
        }
        Map<String, Object> result = new LinkedHashMap<>();
        try {
            StringWriter text = new StringWriter();
            parsed(velocity, (String) request.get("template")).merge(variables, text);
            result.put("text", text.toString());
            result.put("context", request.get("context"));
        } catch (RuntimeException error) {
            result.put("error", error.toString());
        }
        return result;
    }

    /** The template, which is parsed once. Its name is its text. */
    static Template parsed(VelocityEngine velocity, String template) {
        StringResourceLoader.getRepository().putStringResource(template, template);
        return velocity.getTemplate(template);
    }

    /** What a reference to nothing gives, wherever it stands. */
    public static class Absent implements InvalidReferenceEventHandler {
        private final Object value;

        Absent(Object value) {
            this.value = value;
        }

        public Object invalidGetMethod(Context c, String reference, Object o, String property, Info info) {
            return value;
        }

        public Object invalidMethod(Context c, String reference, Object o, String method, Info info) {
            return value;
        }

        public boolean invalidSetMethod(Context c, String left, String right, Info info) {
            return false;
        }
    }

    /** $input. */
    public static class Input {
        private final String body;
        private final Map<String, Map<?, ?>> parameters = new LinkedHashMap<>();

        Input(Map<?, ?> request) {
            body = (String) request.get("body");
            for (String kind : List.of("path", "querystring", "header")) {
                parameters.put(kind, (Map<?, ?>) request.get(kind));
            }
        }

        public String getBody() {
            return body.isBlank() ? "{}" : body;
        }

        public Map<String, Map<?, ?>> params() {
            return parameters;
        }

        public Object params(String name) {
            return parameters.values().stream().map(kind -> kind.get(name)).filter(value -> value != null).findFirst().orElse(null);
        }

        /** A JSONPath of names alone. */
        public Object path(String expression) {
            Object value = parse(getBody());
            for (String name : expression.split("\\.")) {
                value = name.equals("$") ? value : value instanceof Map ? ((Map<?, ?>) value).get(name) : null;
            }
            return value;
        }

        public String json(String expression) {
            Object value = path(expression);
            return Render.json(value == null ? "" : value);
        }
    }

    /** $util. */
    public static class Util {
        public String escapeJavaScript(String text) {
            return StringEscapeUtils.escapeJavaScript(text);
        }

        public Object parseJson(String text) {
            return parse(text);
        }
    }

    // -- JSON: maps print as Java's, lists as JSON

    static class JsonList extends ArrayList<Object> {
        @Override
        public String toString() {
            return json(this);
        }
    }

    static Object parse(String text) {
        try (JsonReader reader = new JsonReader(new StringReader(text))) {
            Object value = read(reader);
            if (reader.peek() != com.google.gson.stream.JsonToken.END_DOCUMENT) {
                throw new IllegalArgumentException("more than one document");
            }
            return value;
        } catch (IOException error) {
            throw new IllegalArgumentException(error);
        }
    }

    private static Object read(JsonReader reader) throws IOException {
        switch (reader.peek()) {
            case BEGIN_OBJECT:
                Map<String, Object> members = new LinkedHashMap<>();
                reader.beginObject();
                while (reader.hasNext()) {
                    members.put(reader.nextName(), read(reader));
                }
                reader.endObject();
                return members;
            case BEGIN_ARRAY:
                List<Object> items = new JsonList();
                reader.beginArray();
                while (reader.hasNext()) {
                    items.add(read(reader));
                }
                reader.endArray();
                return items;
            case NUMBER:
                String number = reader.nextString();
                return number.matches("-?[0-9]+") ? integer(new BigInteger(number)) : (Object) Double.valueOf(number);
            case BOOLEAN:
                return reader.nextBoolean();
            case NULL:
                reader.nextNull();
                return null;
            default:
                return reader.nextString();
        }
    }

    private static Number integer(BigInteger value) {
        return value.bitLength() < 32 ? (Number) value.intValue() : value.bitLength() < 64 ? (Number) value.longValue() : value;
    }

    static String json(Object value) {
        if (value instanceof Map) {
            return ((Map<?, ?>) value).entrySet().stream()
                    .map(member -> json(member.getKey()) + ":" + json(member.getValue()))
                    .collect(Collectors.joining(",", "{", "}"));
        }
        if (value instanceof List) {
            return ((List<?>) value).stream().map(Render::json).collect(Collectors.joining(",", "[", "]"));
        }
        if (!(value instanceof String)) {
            return String.valueOf(value);
        }
        StringBuilder text = new StringBuilder("\"");
        for (char character : ((String) value).toCharArray()) {
            int escaped = "\"\\\b\f\n\r\t".indexOf(character);
            if (escaped >= 0) {
                text.append('\\').append("\"\\bfnrt".charAt(escaped));
            } else if (character < ' ') {
                text.append(String.format("\\u%04x", (int) character));
            } else {
                text.append(character);
            }
        }
        return text.append('"').toString();
    }

    /** The same document, halves of surrogate pairs included, in any encoding. */
    static String ascii(String document) {
        return document.chars()
                .mapToObj(c -> c < 128 ? String.valueOf((char) c) : String.format("\\u%04x", c))
                .collect(Collectors.joining());
    }
}
