#include "store/postgres.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "support/postgres_server.hpp"
#include "support/temp_dir.hpp"

namespace sluice::store {
namespace {

using test::postgres_server;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

postgres_options options_for(const std::string& url) {
  postgres_options options;
  options.url = url;
  options.patience = std::chrono::seconds{20};
  return options;
}

std::string words_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const store_error& fault) {
    return fault.what();
  }
  return "no error";
}

class postgres_layer : public testing::Test {
 protected:
  void SetUp() override {
    database.transact([](postgres_transaction& in) {
      in.run_all("DROP TABLE IF EXISTS layer; CREATE TABLE layer (n bigint PRIMARY KEY, t text)");
    });
  }
  std::int64_t count() { return database.read("SELECT count(*) FROM layer").number(0, 0); }

  postgres_server& server = postgres_server::shared();
  postgres_database database{options_for(server.url())};
};

TEST_F(postgres_layer, values_of_all_kinds_come_back) {
  const std::string bytes("\0\xff'\\", 4);
  const std::vector<std::int64_t> numbers{1, -2, 9'000'000'000'000'000'000};
  const std::vector<std::string> texts{"", "a,\"b\\{}", "\xe4\xb8\xad"};
  const std::vector<std::string_view> blobs{bytes, ""};
  for (const auto format : {result_format::text, result_format::binary}) {
    const auto rows = database.read(
        "SELECT $1::bigint, $2::text, $3::bigint, $4, length($5), $6[1], $6[2], $6[3], $7[1], "
        "$7[2], $7[3], length($8[1]), $8[2] = ''",
        postgres_parameters()
            .put(std::int64_t{-5})
            .put("it's")
            .put_null()
            .put(true)
            .put_bytes(bytes)
            .put_numbers(numbers)
            .put_texts(texts)
            .put_all_bytes(blobs),
        format);
    ASSERT_EQ(rows.size(), 1);
    EXPECT_EQ(rows.number(0, 0), -5);
    EXPECT_EQ(rows.text(0, 1), "it's");
    EXPECT_TRUE(rows.is_null(0, 2));
    EXPECT_EQ(rows.optional_number(0, 2), std::nullopt);
    EXPECT_TRUE(rows.flag(0, 3));
    EXPECT_EQ(rows.number(0, 4), 4);
    for (std::size_t n = 0; n < 3; ++n) {
      EXPECT_EQ(rows.number(0, 5 + n), numbers[n]);
      EXPECT_EQ(rows.text(0, 8 + n), texts[n]);
    }
    EXPECT_EQ(rows.number(0, 11), 4);
    EXPECT_TRUE(rows.flag(0, 12));
  }
  EXPECT_EQ(
      database.read("SELECT $1", postgres_parameters().put_bytes(bytes), result_format::binary)
          .text(0, 0),
      bytes);
  EXPECT_EQ(
      database.read("SELECT cardinality($1)", postgres_parameters().put_numbers({})).number(0, 0),
      0);
}

TEST_F(postgres_layer, a_transaction_is_stored_whole_or_not_at_all) {
  const int made = database.transact([](postgres_transaction& in) {
    EXPECT_EQ(in.run("INSERT INTO layer VALUES (1), (2)").changed(), 2);
    return 7;
  });
  EXPECT_EQ(made, 7);
  EXPECT_THROW(database.transact([](postgres_transaction& in) {
    in.run("INSERT INTO layer VALUES (3)");
    throw std::logic_error("no");
  }),
               std::logic_error);
  EXPECT_THROW(database.transact([](postgres_transaction& in) {
    in.run("INSERT INTO layer VALUES (4)");
    in.run("INSERT INTO layer VALUES (1)");
  }),
               postgres_error);
  EXPECT_EQ(count(), 2);
}

TEST_F(postgres_layer, an_error_that_the_work_hides_stores_nothing) {
  EXPECT_THROW(database.transact([](postgres_transaction& in) {
    in.run("INSERT INTO layer VALUES (1)");
    EXPECT_THROW(in.run("INSERT INTO layer VALUES (1)"), postgres_error);
  }),
               postgres_error);
  EXPECT_EQ(count(), 0);
}

TEST_F(postgres_layer, an_error_names_the_database_and_its_state) {
  EXPECT_THAT(words_of([&] { database.read("SELECT nothing"); }),
              AllOf(HasSubstr("PostgreSQL at 127.0.0.1:" + std::to_string(server.port())),
                    HasSubstr("database postgres"), HasSubstr("42703"), Not(HasSubstr("\n"))));
}

TEST_F(postgres_layer, a_deadlock_is_tried_again) {
  database.transact([](postgres_transaction& in) { in.run("INSERT INTO layer VALUES (1), (2)"); });
  std::atomic<int> holding = 0;
  std::atomic<int> runs = 0;
  const auto lock_both = [&](int first) {
    database.transact([&](postgres_transaction& in) {
      const bool again = ++runs > 2;
      in.run("UPDATE layer SET t = 'x' WHERE n = $1", postgres_parameters().put(first));
      ++holding;
      while (!again && holding < 2) std::this_thread::yield();
      in.run("UPDATE layer SET t = 'x' WHERE n = $1", postgres_parameters().put(3 - first));
    });
  };
  std::thread other([&] { lock_both(2); });
  lock_both(1);
  other.join();
  EXPECT_EQ(runs, 3);
}

TEST_F(postgres_layer, a_serialization_failure_is_tried_again) {
  int runs = 0;
  database.transact([&](postgres_transaction& in) {
    in.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    const std::int64_t before = in.run("SELECT count(*) FROM layer").number(0, 0);
    if (++runs == 1) {
      database.transact([](postgres_transaction& other) {
        other.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
        const auto n = other.run("SELECT count(*) FROM layer").number(0, 0);
        other.run("INSERT INTO layer VALUES ($1)", postgres_parameters().put(n));
      });
    }
    in.run("INSERT INTO layer VALUES ($1)", postgres_parameters().put(before + 10));
  });
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(count(), 2);
}

TEST_F(postgres_layer, a_restart_of_the_database_is_not_noticed) {
  for (const bool orderly : {true, false}) {
    int runs = 0;
    database.transact([&](postgres_transaction& in) {
      in.run("INSERT INTO layer VALUES ($1)", postgres_parameters().put(orderly ? 1 : 2));
      if (++runs > 1) return;
      orderly ? server.stop() : server.kill();
      server.start();
    });
    EXPECT_EQ(runs, 2);
  }
  server.kill();
  server.start();
  EXPECT_EQ(count(), 2);
}

TEST_F(postgres_layer, a_long_call_is_tried_again_like_a_short_one) {
  postgres_options options = options_for(server.url());
  options.patience = std::chrono::milliseconds{200};
  postgres_database hasty(options);
  int runs = 0;
  hasty.transact([&](postgres_transaction& in) {
    if (++runs > 1) return;
    in.run("SELECT pg_sleep(0.5)");
    server.kill();
    server.start();
  });
  EXPECT_EQ(runs, 2);
}

// Lets the first `count` transactions lose their connection during COMMIT.
void cut_commits(postgres_database& database, int count) {
  database.transact([count](postgres_transaction& in) {
    in.run_all(
        "SET LOCAL client_min_messages = warning;"
        "DROP SEQUENCE IF EXISTS cuts; CREATE SEQUENCE cuts;"
        "CREATE OR REPLACE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('cuts') <= " +
        std::to_string(count) +
        " THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60); END IF; "
        "RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON layer DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION cut()");
  });
}

TEST_F(postgres_layer, a_commit_without_an_answer_is_an_error_of_its_own) {
  cut_commits(database, 1);
  int runs = 0;
  EXPECT_THROW(database.transact([&](postgres_transaction& in) {
    ++runs;
    in.run("INSERT INTO layer VALUES (1)");
  }),
               commit_unclear);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(count(), 0);
}

TEST_F(postgres_layer, work_that_may_run_again_does_so_after_an_unclear_commit) {
  cut_commits(database, 2);
  int runs = 0;
  database.transact(
      [&](postgres_transaction& in) {
        ++runs;
        in.run("INSERT INTO layer VALUES (1) ON CONFLICT DO NOTHING");
      },
      if_unclear::run_again);
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(count(), 1);
}

TEST_F(postgres_layer, a_constraint_that_fails_at_commit_is_no_unclear_commit) {
  database.transact([](postgres_transaction& in) {
    in.run_all("ALTER TABLE layer ADD CONSTRAINT once UNIQUE (t) DEFERRABLE INITIALLY DEFERRED");
  });
  EXPECT_THROW(database.transact([](postgres_transaction& in) {
    in.run("INSERT INTO layer VALUES (1, 'x'), (2, 'x')");
  }),
               postgres_error);
  EXPECT_EQ(count(), 0);
}

TEST_F(postgres_layer, a_statement_that_takes_too_long_is_ended) {
  postgres_options options = options_for(server.url());
  options.statement_timeout = std::chrono::milliseconds{50};
  postgres_database hasty(options);
  EXPECT_THAT(words_of([&] {
                hasty.transact([](postgres_transaction& in) { in.run("SELECT pg_sleep(60)"); });
              }),
              HasSubstr("57014"));
}

TEST_F(postgres_layer, a_transaction_that_nobody_goes_on_with_is_ended) {
  postgres_options options = options_for(server.url());
  options.idle_timeout = std::chrono::milliseconds{20};
  postgres_connection frozen(options);
  frozen.begin();
  frozen.run("LOCK TABLE layer");
  // This would wait forever if the lock stayed.
  database.transact([](postgres_transaction& in) { in.run("INSERT INTO layer VALUES (1)"); });
  EXPECT_THROW(
      {
        frozen.run("INSERT INTO layer VALUES (2)");
        frozen.commit();
      },
      connection_lost);
  EXPECT_FALSE(frozen.usable());
  EXPECT_EQ(count(), 1);
}

TEST_F(postgres_layer, the_socket_and_the_environment_work_as_for_psql) {
  EXPECT_EQ(
      postgres_database(options_for(server.socket_url())).read("SELECT current_user").text(0, 0),
      "postgres");
  ::setenv("PGPASSWORD", postgres_server::password, 1);
  ::setenv("PGPORT", std::to_string(server.port()).c_str(), 1);
  EXPECT_EQ(postgres_database(options_for("postgresql://postgres@127.0.0.1"))
                .read("SELECT current_database()")
                .text(0, 0),
            "postgres");
  ::unsetenv("PGPASSWORD");
  const test::temp_dir dir;
  ::setenv(
      "PGSERVICEFILE",
      dir.write("services", "[mine]\nhost=127.0.0.1\nuser=postgres\ndbname=postgres\npassword=" +
                                std::string(postgres_server::password) + "\n")
          .c_str(),
      1);
  EXPECT_EQ(postgres_database(options_for("postgresql://?service=mine")).read("SELECT 4").size(),
            1);
  ::unsetenv("PGSERVICEFILE");
  ::unsetenv("PGPORT");
}

TEST_F(postgres_layer, an_error_never_shows_a_password) {
  const std::string port = std::to_string(server.port());
  for (const std::string& url : std::initializer_list<std::string>{
           "postgresql://postgres:SECRET@127.0.0.1:" + port + "/postgres",
           "postgresql://postgres:SECRET@127.0.0.1:1/postgres",
           "postgresql://postgres:a@SECRET@127.0.0.1/postgres",
           "postgresql://postgres:SECRET/x@127.0.0.1/postgres",
           "postgresql://postgres:1/SECRET@127.0.0.1/postgres",
           "postgresql://postgres:/SECRET@127.0.0.1/postgres",
           "postgresql://postgres:1/x?SECRET@127.0.0.1/postgres",
           "postgresql://postgres:1/x?SECRET=y@127.0.0.1/postgres",
           "postgresql://postgres:1/x?user=y&SECRET@127.0.0.1/postgres",
           "postgresql://postgres:1?SECRET/x@127.0.0.1/postgres",
           "postgresql://postgres:1#SECRET/x@127.0.0.1/postgres",
           "postgresql://postgres:1#SECRET@127.0.0.1:1/postgres",
           "postgresql://postgres:1?SECRET@127.0.0.1:1/postgres",
           "postgresql://postgres:SECRET?x@127.0.0.1/postgres",
           "postgresql://postgres:SECRET@[::1/postgres",
           "postgresql://postgres:SECRET%zz@127.0.0.1/postgres",
           "postgresql://postgres@127.0.0.1/postgres?password=SECRET&x",
           "mysql://postgres:SECRET@127.0.0.1/postgres"}) {
    postgres_options options = options_for(url);
    options.patience = {};
    const std::string words = words_of([&] { postgres_database refused(options); });
    EXPECT_THAT(words, AllOf(Not(HasSubstr("SECRET")), Not("no error"), Not(HasSubstr("\n"))));
  }
}

TEST_F(postgres_layer, a_database_that_is_away_is_named) {
  postgres_options options = options_for("postgresql://u@127.0.0.1:1/d");
  EXPECT_THAT(words_of([&] { postgres_database refused(options); }),
              AllOf(HasSubstr("PostgreSQL at 127.0.0.1:1, database d: cannot connect"),
                    HasSubstr("refused")));
}

TEST_F(postgres_layer, only_a_database_that_takes_writes_is_used) {
  const std::string read_only = server.url() + "?options=-c%20default_transaction_read_only%3Don";
  EXPECT_THAT(words_of([&] { postgres_database refused(options_for(read_only)); }),
              HasSubstr("read-only"));
}

}  // namespace
}  // namespace sluice::store
