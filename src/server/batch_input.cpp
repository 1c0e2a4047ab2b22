#include "server/batch_input.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <utility>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "files/line_reader.hpp"
#include "jobs/job_check.hpp"
#include "jobs/job_line.hpp"
#include "json/object.hpp"
#include "server/model_name.hpp"

namespace sluice::server {
namespace {

constexpr std::size_t most_errors = 100;

struct line_fault {
  std::string code;
  std::string message;
  std::optional<std::string> param = {};
};

line_fault missing(const char* name) {
  return {"missing_required_parameter", fmt::format("Missing required parameter: '{}'.", name),
          name};
}

// Checks the lines of one file, from the first to the last.
class line_checker {
 public:
  explicit line_checker(const input_rules& rules) : rules_(rules) {
    parsing_.max_line_bytes = rules.most_line_bytes;
  }

  std::optional<line_fault> check(const line_reader::line& line) {
    if (line.too_long) {
      return line_fault{"invalid_json_line",
                        fmt::format("The line is longer than {} bytes.", rules_.most_line_bytes)};
    }
    const json_object fields = json_object::parse(line.text);
    if (!fields.is_object()) {
      return line_fault{"invalid_json_line", "This line is not parseable as valid JSON."};
    }
    const auto id = fields.text("custom_id");
    if (!id || id->empty()) return missing("custom_id");
    if (auto fault = check_form(fields)) return fault;
    const json_object body = fields.object("body");
    const auto model = body.text("model");
    if (!model || model->empty()) return missing("body.model");
    if (const auto fault = fault_of_model(*model); !fault.empty()) {
      return line_fault{"invalid_request", std::string(fault), "body.model"};
    }
    if (!rules_.may_use(*model)) {
      return line_fault{
          "model_not_found",
          fmt::format("The model `{}` does not exist, or this key may not use it.", *model),
          "body.model"};
    }
    auto parsed = parse_job_line(line.text, line.number, parsing_);
    if (!parsed) return line_fault{"invalid_request", parsed.error().message};
    if (!ids_.insert(hash_of(parsed->custom_id)).second) {
      return line_fault{"duplicate_custom_id",
                        "The custom_id for this request is a duplicate of another request. The "
                        "custom_id parameter must be unique for each request in a batch.",
                        "custom_id"};
    }
    if (models_.size() < 2) models_.insert(*model);
    return std::nullopt;
  }

  // Returns the model of all lines; nothing if there are several.
  std::optional<std::string> model() const {
    return models_.size() == 1 ? std::optional(*models_.begin()) : std::nullopt;
  }

 private:
  std::optional<line_fault> check_form(const json_object& fields) const {
    for (const char* name : {"method", "url", "body"}) {
      if (!fields.has_value(name)) return missing(name);
    }
    if (fields.text("method") != "POST") {
      return line_fault{"invalid_method", "The method must be \"POST\".", "method"};
    }
    if (fields.text("url") != to_string(rules_.target)) {
      return line_fault{"url_mismatch",
                        fmt::format("The url of this request is not the endpoint of the batch, {}.",
                                    to_string(rules_.target)),
                        "url"};
    }
    if (!fields.object("body").is_object()) {
      return line_fault{"invalid_request", "The body must be a JSON object.", "body"};
    }
    return std::nullopt;
  }

  const input_rules& rules_;
  job_options parsing_;
  id_set ids_;
  std::set<std::string> models_;
};

store::batch_error of_whole_file(std::string code, std::string message) {
  return {std::move(code), std::move(message), std::nullopt, std::nullopt};
}

// Adds errors for requests without a known highest cost. A key with a budget may not send them.
void add_unbounded(const std::string& path, const input_rules& rules, checked_input& result) {
  check_job(path, {.lines = rules.lines, .prices = *rules.bounded_by, .defaults = rules.defaults},
            [&](const checked_request& one) {
              if (one.most_cost || result.errors.size() == most_errors) return;
              const std::string why =
                  one.unbounded.empty()
                      ? fmt::format("names the model `{}`, which has no price here", one.model)
                      : one.unbounded;
              result.errors.push_back(
                  {"invalid_request",
                   fmt::format("This key has a budget, and the highest cost of this request is not "
                               "known: it {}.",
                               why),
                   std::nullopt, one.line});
            });
}

}  // namespace

checked_input check_input(const std::string& path, const input_rules& rules) {
  line_reader lines(open_bytes(path), rules.most_line_bytes);
  line_checker checker(rules);
  checked_input result;
  line_reader::line line;
  while (lines.next(line)) {
    if (++result.lines.total > rules.most_lines) {
      result.errors.push_back(of_whole_file(
          "too_many_tasks",
          fmt::format("The batch has more than {} requests, which is the most that this server "
                      "takes.",
                      rules.most_lines)));
      return result;
    }
    if (result.errors.size() == most_errors) continue;
    if (auto fault = checker.check(line)) {
      result.errors.push_back({std::move(fault->code), std::move(fault->message),
                               std::move(fault->param), line.number});
    }
  }
  if (result.lines.total == 0) {
    result.errors.push_back(of_whole_file(
        "empty_file",
        "The input file is empty. Please ensure that the batch contains at least one request."));
  }
  result.lines.model = checker.model();
  if (result.errors.empty() && rules.bounded_by != nullptr) add_unbounded(path, rules, result);
  return result;
}

}  // namespace sluice::server
