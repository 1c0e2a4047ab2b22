#include "money/relay_pricing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "json/object.hpp"
#include "json/text.hpp"
#include "money/price_fields.hpp"

namespace sluice {
namespace {

// The part of the relay's text that an error message shows.
std::string words_of(std::string_view text) {
  constexpr std::size_t enough = 200;
  return printable_text(utf8_prefix(valid_utf8(std::string(text)), enough));
}

std::string names_of(const json_object& groups) {
  std::vector<std::string> names;
  for (const json_member& group : groups) names.push_back(words_of(member_name(group)));
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  constexpr std::size_t enough = 20;
  const bool more = names.size() > enough;
  if (more) names.resize(enough);
  return names.empty() ? "none" : fmt::format("{}{}", fmt::join(names, ", "), more ? ", …" : "");
}

// Why a body is not JSON, in words that help the user.
std::string why_no_json(std::string_view document) {
  const std::size_t first = document.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "is empty; the relay tells no prices there";
  if (document[first] == '<') return "is a web page and not JSON; the relay tells no prices there";
  return "is not JSON; the relay tells no prices there";
}

struct group_ratio {
  decimal value;
  std::string text;
};

// The ratio of the group, or the reason why there is none.
boost::system::result<group_ratio, std::string> ratio_of_group(const json_object& document,
                                                               const std::string& group) {
  const json_object ratios = document.object("group_ratio");
  const json_object usable = document.object("usable_group");
  const json_object& known = ratios.is_object() ? ratios : usable;
  if (known.is_object() && !known.has(group)) {
    return fmt::format("has no ratio for the group \"{}\"; it lists {}: name the key's group",
                       words_of(group), names_of(known));
  }
  auto text = ratios.is_object() ? number_text(ratios, group) : std::string("1");
  const auto value = text ? parse_json_number(*text) : std::nullopt;
  if (!value) {
    return fmt::format("gives the group \"{}\" the ratio {}, which is no number", words_of(group),
                       text ? words_of(*text) : "null");
  }
  return group_ratio{without_binary_noise(*value), *std::move(text)};
}

bool is_offered(const json_object& model, const std::string& group) {
  const auto names = model.list("enable_groups");
  if (names.empty()) return true;
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    const auto told = json_string(name);
    return told == group || told == "all";
  });
}

// How a call of the model is billed; `unreadable`: the list says it in an unknown way.
enum class billing { by_ratio, per_call, by_expression, unreadable };

billing billing_of(const json_object& model) {
  const std::string mode = model.text("billing_mode").value_or("");
  if (mode == "per-request") return billing::per_call;
  if (!mode.empty() && mode != "ratio" && mode != "per-token") return billing::by_expression;
  const auto type = number_text(model, "quota_type");
  if (!type || type == "0") return billing::by_ratio;
  return type == "1" ? billing::per_call : billing::unreadable;
}

// Reads the models one by one.
class list_reader {
 public:
  list_reader(const relay_pricing_options& options, group_ratio of_group)
      : options_(options), group_ratio_(of_group.value) {
    told_.group_ratio = std::move(of_group.text);
  }

  void add(std::string_view element) {
    const json_object model(element);
    const std::string name = model.text("model_name").value_or("");
    if (name.empty()) {
      ++told_.left_out.unreadable;
      return;
    }
    named_ = true;
    told_.prices.set(name, price_of(model));
  }

  bool found_names() const noexcept { return named_; }
  relay_pricing take() { return std::move(told_); }

 private:
  std::optional<model_prices> price_of(const json_object& model) {
    models_left_out& out = told_.left_out;
    if (!is_offered(model, options_.group)) return leave_out(out.not_offered);
    switch (billing_of(model)) {
      case billing::per_call:
        return leave_out(out.per_call);
      case billing::by_expression:
        return leave_out(out.by_expression);
      case billing::unreadable:
        return leave_out(out.unreadable);
      case billing::by_ratio:
        break;
    }
    const auto ratio = ratio_field(model, "model_ratio");
    if (!ratio) return leave_out(out.unreadable);
    const auto input = product({*ratio, group_ratio_});
    model_prices price;
    token_rates& rates = price.standard.base;
    rates[token_kind::input] = input;
    const bool readable =
        input && multiply(model, "cache_ratio", *ratio, rates[token_kind::cached_input]) &&
        multiply(model, "create_cache_ratio", *ratio, rates[token_kind::cache_write]) &&
        multiply(model, "completion_ratio", *ratio, rates[token_kind::output]);
    return readable ? std::optional(price) : leave_out(out.unreadable);
  }

  static std::optional<decimal> ratio_field(const json_object& model, std::string_view name) {
    const auto ratio = number_field(model, name);
    return ratio ? std::optional(without_binary_noise(*ratio)) : std::nullopt;
  }

  // Sets the price that results from another ratio, if the model has one. False if the ratio is
  // invalid.
  bool multiply(const json_object& model, std::string_view name, const decimal& ratio,
                std::optional<usd>& price) const {
    if (!number_text(model, name)) return true;
    const auto further = ratio_field(model, name);
    if (further) price = product({ratio, group_ratio_, *further});
    return price.has_value();
  }

  std::optional<usd> product(std::initializer_list<decimal> factors) const {
    return sane_price(
        rounded_up_product({factors.begin(), factors.size()}, options_.quota_per_unit));
  }

  static std::optional<model_prices> leave_out(std::size_t& reason) {
    ++reason;
    return std::nullopt;
  }

  const relay_pricing_options& options_;
  decimal group_ratio_;
  relay_pricing told_;
  bool named_ = false;
};

}  // namespace

boost::system::result<relay_pricing, std::string> read_relay_pricing(
    std::string_view document, const relay_pricing_options& options) {
  if (json_fault(document)) return why_no_json(document);
  const json_object answer(document);
  if (answer.value("success") == "false") {
    const std::string message = words_of(answer.text("message").value_or(""));
    return message.empty() ? std::string("is a refusal without a message")
                           : fmt::format("is a refusal: \"{}\"", message);
  }
  const auto models = json_elements(answer.has("data") ? answer.value("data") : document);
  if (!models) return std::string("is no price list of new-api's form: it has no list \"data\"");
  auto ratio = ratio_of_group(answer, options.group);
  if (!ratio) return std::move(ratio).error();
  list_reader reader(options, *std::move(ratio));
  for (const std::string_view model : *models) reader.add(model);
  if (!models->empty() && !reader.found_names())
    return std::string("is no price list of new-api's form: its entries have no \"model_name\"");
  return reader.take();
}

}  // namespace sluice
