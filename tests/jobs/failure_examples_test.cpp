#include "jobs/failure_examples.hpp"

#include <gmock/gmock.h>

#include "jobs/result_line.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using testing::Pair;
using testing::UnorderedElementsAre;

std::string errors_line(const std::string& id, const failure& why) {
  result told;
  told.custom_id = id;
  told.digest = "00";
  told.outcome = why;
  return result_line(told, std::nullopt, false);
}

failure http(int status, const std::string& body) {
  failure why;
  why.code = errc::http_error;
  why.http_status = status;
  why.body = body;
  return why;
}

TEST(failure_examples, the_first_of_each_kind_in_its_own_words) {
  failure bad;
  bad.code = errc::invalid_json_line;
  bad.message = "no JSON";
  failure slow;
  slow.code = errc::request_timeout;
  slow.message = "nothing came";
  const test::temp_dir folder;
  const auto path = folder.write(
      "x.errors.jsonl", errors_line("a", http(404, R"({"error":{"message":"no such model"}})")) +
                            errors_line("b", http(404, R"({"error":{"message":"another"}})")) +
                            errors_line("c", http(502, "<html><title>Bad Gateway</title></html>")) +
                            errors_line("d", bad) + errors_line("e", slow) + "{\"custom_id\":\"f");
  EXPECT_THAT(failure_examples(path),
              UnorderedElementsAre(Pair("404", "no such model"), Pair("502", "Bad Gateway"),
                                   Pair("invalid_json_line", "no JSON"),
                                   Pair("request_timeout", "nothing came")));
}

}  // namespace
}  // namespace sluice
