// An agent that speaks through JDBC: simple and extended, batches, cursors, COPY, refusals.

import java.io.StringReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

public class PgAgent {
    interface Action {
        void run() throws Exception;
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void denied(Action action) throws Exception {
        try {
            action.run();
        } catch (PSQLException error) {
            check("42501".equals(error.getSQLState()), "state " + error.getSQLState());
            check(error.getMessage().contains("[BLOCKED by Portcullis]"), error.getMessage());
            check(error.getServerErrorMessage().getHint() != null, "no hint");
            check(error.getServerErrorMessage().getDetail().contains("Recorded as"), "no record");
            return;
        }
        throw new AssertionError("not refused");
    }

    static Connection connect(String mode) throws SQLException {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
            + "/" + System.getenv("PGDATABASE");
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", "only-for-tests");
        properties.setProperty("ApplicationName", System.getenv("PGAPPNAME"));
        properties.setProperty("preferQueryMode", mode);
        properties.setProperty("prepareThreshold", "3");
        properties.setProperty("assumeMinServerVersion", "15");
        return DriverManager.getConnection(url, properties);
    }

    static void statements(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            ResultSet rows = statement.executeQuery("SELECT comment FROM feedback WHERE id = 1");
            check(rows.next() && rows.getString(1).equals("nice"), "feedback");
            denied(() -> statement.execute("DROP TABLE products"));
            denied(() -> statement.executeQuery("SELECT email FROM users"));
        }
        // From the third time on the driver prepares by name.
        try (PreparedStatement sum = connection.prepareStatement("SELECT ?::int + 1")) {
            for (int number = 0; number < 8; number++) {
                sum.setInt(1, number);
                ResultSet rows = sum.executeQuery();
                check(rows.next() && rows.getInt(1) == number + 1, "sum");
            }
        }
        try (PreparedStatement forbidden = connection.prepareStatement("SELECT ? FROM users")) {
            for (int number = 0; number < 5; number++) {
                forbidden.setString(1, "x");
                denied(forbidden::executeQuery);
            }
        }
    }

    static void transaction(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.execute("INSERT INTO notes VALUES (1, 'lost')");
            denied(() -> statement.execute("DROP TABLE notes"));
            connection.rollback();
            ResultSet rows = statement.executeQuery("SELECT count(*) FROM notes");
            check(rows.next() && rows.getInt(1) == 0, "rolled back");
            try (PreparedStatement batch =
                    connection.prepareStatement("INSERT INTO notes VALUES (?, 'kept')")) {
                for (int number = 0; number < 50; number++) {
                    batch.setInt(1, number);
                    batch.addBatch();
                }
                check(batch.executeBatch().length == 50, "batch");
            }
            connection.commit();
            // A cursor: rows in portions, from one portal.
            try (Statement portions = connection.createStatement()) {
                portions.setFetchSize(7);
                ResultSet all = portions.executeQuery("SELECT id FROM notes ORDER BY id");
                int count = 0;
                while (all.next()) {
                    check(all.getInt(1) == count++, "order");
                }
                check(count == 50, "portions");
            }
            connection.commit();
        }
        connection.setAutoCommit(true);
    }

    static void copy(Connection connection) throws Exception {
        var copier = connection.unwrap(PGConnection.class).getCopyAPI();
        check(copier.copyIn("COPY notes FROM STDIN", new StringReader("60\tcopied\n")) == 1, "in");
        var text = new java.io.StringWriter();
        copier.copyOut("COPY (SELECT note FROM notes WHERE id = 60) TO STDOUT", text);
        check(text.toString().equals("copied\n"), "out");
        denied(() -> copier.copyOut("COPY users TO STDOUT", new java.io.StringWriter()));
        try (Statement statement = connection.createStatement()) {
            check(statement.executeUpdate("DELETE FROM notes WHERE id >= 0") == 51, "cleaned");
        }
    }

    public static void main(String[] arguments) throws Exception {
        for (String mode : new String[] {"extended", "simple", "extendedForPrepared"}) {
            try (Connection connection = connect(mode)) {
                statements(connection);
                transaction(connection);
                copy(connection);
            }
        }
        System.out.println("all is well");
    }
}
