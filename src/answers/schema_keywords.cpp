#include "answers/schema_keywords.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <compare>
#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <valijson/constraint_builder.hpp>
#include <valijson/constraints/concrete_constraints.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <vector>

#include "answers/exact_json.hpp"
#include "answers/schema_adapter.hpp"
#include "json/text.hpp"

namespace sluice::answers {
namespace {

using nlohmann::json;

std::shared_ptr<const re2::RE2> compiled_pattern(const std::string& pattern) {
  auto compiled = std::make_shared<const re2::RE2>(pattern, re2::RE2::Quiet);
  if (!compiled->ok())
    throw std::runtime_error(fmt::format("has a pattern that is not understood: {}",
                                         utf8_prefix(compiled->error(), longest_shown)));
  return compiled;
}

// A constraint on strings that RE2 matches.
class string_constraint final : public valijson::constraints::PolyConstraint {
 public:
  string_constraint(std::shared_ptr<const re2::RE2> pattern, std::string fault)
      : pattern_(std::move(pattern)), fault_(std::move(fault)) {}

  bool validate(const valijson::adapters::Adapter& target, const std::vector<std::string>& context,
                valijson::ValidationResults* results) const override {
    if (!target.isString()) return true;
    std::string text;
    if (!target.asString(text)) return true;
    if (re2::RE2::PartialMatch(text, *pattern_)) return true;
    if (results != nullptr) results->pushError(context, fault_);
    return false;
  }

 private:
  Constraint* cloneInto(void* place) const override { return new (place) string_constraint(*this); }
  std::size_t sizeOf() const override { return sizeof(string_constraint); }

  std::shared_ptr<const re2::RE2> pattern_;
  std::string fault_;
};

class pattern_builder final : public valijson::ConstraintBuilder {
 public:
  valijson::constraints::Constraint* make(const valijson::adapters::Adapter& value) const override {
    const std::string pattern = value.asString();
    return new string_constraint(
        compiled_pattern(pattern),
        fmt::format("does not match the pattern {}", utf8_prefix(pattern, longest_shown)));
  }
};

struct known_format {
  std::string_view name;
  const char* pattern;
};
// These follow RFC 3339 and RFC 4122. Other formats are not checked, as JSON Schema allows.
constexpr std::array formats = {
    known_format{"date", R"(^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$)"},
    known_format{
        "time",
        R"(^([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)?$)"},
    known_format{"date-time",
                 R"(^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:)"
                 R"(([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$)"},
    known_format{"uuid", R"(^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$)"},
};

class format_builder final : public valijson::ConstraintBuilder {
 public:
  valijson::constraints::Constraint* make(const valijson::adapters::Adapter& value) const override {
    const std::string name = value.isString() ? value.asString() : std::string();
    for (const known_format& one : formats) {
      if (one.name == name)
        return new string_constraint(compiled_pattern(one.pattern),
                                     fmt::format("is not a {}", name));
    }
    return new string_constraint(compiled_pattern(""), {});
  }
};

// A constraint that says what is wrong with a value.
class value_constraint : public valijson::constraints::PolyConstraint {
 public:
  bool validate(const valijson::adapters::Adapter& target, const std::vector<std::string>& context,
                valijson::ValidationResults* results) const final {
    const auto* const read = dynamic_cast<const schema_adapter*>(&target);
    if (read == nullptr) return true;  // the name of a property
    const auto fault = fault_of(read->value());
    if (fault && results != nullptr) results->pushError(context, *fault);
    return !fault;
  }

 private:
  virtual std::optional<std::string> fault_of(const json& value) const = 0;
};

class multiple_of final : public value_constraint {
 public:
  explicit multiple_of(const json& divisor)
      : divisor_(exactly(divisor)), shown_(number_text(divisor)) {}

 private:
  std::optional<std::string> fault_of(const json& value) const override {
    if (!is_number(value) || is_multiple(exactly(value), divisor_)) return std::nullopt;
    return fmt::format("is not a multiple of {}", utf8_prefix(shown_, longest_shown));
  }
  Constraint* cloneInto(void* place) const override { return new (place) multiple_of(*this); }
  std::size_t sizeOf() const override { return sizeof(multiple_of); }

  exact_number divisor_;
  std::string shown_;
};

struct bound_kind {
  const char* own_name;
  const char* name;   // with its article
  const char* fault;  // before the bound
  bool (*is_wrong)(std::strong_ordering value_to_bound);
};
constexpr std::array bounds = {
    bound_kind{own_minimum, "a minimum", "is below the minimum of",
               [](std::strong_ordering found) { return std::is_lt(found); }},
    bound_kind{own_maximum, "a maximum", "is above the maximum of",
               [](std::strong_ordering found) { return std::is_gt(found); }},
    bound_kind{own_exclusive_minimum, "an exclusiveMinimum", "is not above",
               [](std::strong_ordering found) { return std::is_lteq(found); }},
    bound_kind{own_exclusive_maximum, "an exclusiveMaximum", "is not below",
               [](std::strong_ordering found) { return std::is_gteq(found); }},
};

class bound final : public value_constraint {
 public:
  bound(const bound_kind& kind, json limit) : kind_(&kind), limit_(std::move(limit)) {
    if (!is_number(limit_))
      throw std::runtime_error(fmt::format("has {} that is not a number", kind_->name));
  }

 private:
  std::optional<std::string> fault_of(const json& value) const override {
    if (!is_number(value) || !kind_->is_wrong(order(value, limit_))) return std::nullopt;
    return fmt::format("{} {}", kind_->fault, utf8_prefix(number_text(limit_), longest_shown));
  }
  Constraint* cloneInto(void* place) const override { return new (place) bound(*this); }
  std::size_t sizeOf() const override { return sizeof(bound); }

  const bound_kind* kind_;
  json limit_;
};

class bound_builder final : public valijson::ConstraintBuilder {
 public:
  explicit bound_builder(const bound_kind& kind) : kind_(&kind) {}
  valijson::constraints::Constraint* make(const valijson::adapters::Adapter& value) const override {
    return new bound(*kind_, dynamic_cast<const schema_adapter&>(value).value());
  }

 private:
  const bound_kind* kind_;
};

class unique_items final : public value_constraint {
 public:
  explicit unique_items(const json& wanted) {
    if (!wanted.is_boolean())
      throw std::runtime_error("has a uniqueItems that is neither true nor false");
    wanted_ = wanted.get<bool>();
  }

 private:
  std::optional<std::string> fault_of(const json& value) const override {
    if (!wanted_ || !value.is_array() || value.size() < 2) return std::nullopt;
    std::vector<const json*> sorted;
    sorted.reserve(value.size());
    for (const json& item : value) sorted.push_back(&item);
    // Equal items stay in the order of their places, which grow with their index.
    std::sort(sorted.begin(), sorted.end(), [](const json* left, const json* right) {
      const auto found = order(*left, *right);
      return std::is_neq(found) ? std::is_lt(found) : left < right;
    });
    const json* first = nullptr;
    const json* again = nullptr;  // the first item of the array that is equal to an earlier one
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      if ((again != nullptr && sorted[i] > again) || std::is_neq(order(*sorted[i - 1], *sorted[i])))
        continue;
      first = sorted[i - 1];
      again = sorted[i];
    }
    if (again == nullptr) return std::nullopt;
    const json* const begin = &value.front();
    return fmt::format("items {} and {} are equal", first - begin, again - begin);
  }
  Constraint* cloneInto(void* place) const override { return new (place) unique_items(*this); }
  std::size_t sizeOf() const override { return sizeof(unique_items); }

  bool wanted_ = false;
};

template <typename Made>
class value_builder final : public valijson::ConstraintBuilder {
 public:
  valijson::constraints::Constraint* make(const valijson::adapters::Adapter& value) const override {
    return new Made(dynamic_cast<const schema_adapter&>(value).value());
  }
};

}  // namespace

std::optional<std::string> divisor_fault(const json& value) {
  if (!is_number(value) || !(rounded(value) > 0)) return "that is not a number above 0";
  if (exactly(value).digits.size() > longest_divisor)
    return fmt::format("with more than {} digits", longest_divisor);
  return std::nullopt;
}

void add_own_keywords(valijson::SchemaParser& parser) {
  parser.addConstraintBuilder(own_pattern, new pattern_builder);
  parser.addConstraintBuilder(own_format, new format_builder);
  parser.addConstraintBuilder(own_unique_items, new value_builder<unique_items>);
  parser.addConstraintBuilder(own_multiple_of, new value_builder<multiple_of>);
  for (const bound_kind& kind : bounds)
    parser.addConstraintBuilder(kind.own_name, new bound_builder(kind));
}

}  // namespace sluice::answers
