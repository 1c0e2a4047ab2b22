#include "answers/exact_json.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace sluice::answers {
namespace {

using nlohmann::json;

// The subtype of a binary value that is an integer.
constexpr json::binary_t::subtype_type integer_mark = 1;

// Digits that a double keeps for sure, and sizes above which it does.
constexpr std::size_t safe_digits = 15;
constexpr double safe_size = 1e-300;

json with_text(const std::string& text, bool integer) {
  json::binary_t bytes(std::vector<std::uint8_t>(text.begin(), text.end()));
  if (integer) bytes.set_subtype(integer_mark);
  return bytes;
}

json exact_value(double value, const std::string& text, integers rule) {
  const exact_number number = read_exact(text);
  const bool plain = text.find_first_of(".eE") == std::string::npos;
  const bool integer = rule == integers::by_form ? plain : number.is_whole();
  if (integer && rule == integers::by_value && std::abs(value) < 0x1p53)
    return static_cast<std::int64_t>(value);
  const bool safe = number.digits.size() <= safe_digits &&
                    (number.digits.empty() || std::abs(value) >= safe_size);
  if (safe && !integer) return value;
  return with_text(text, integer);
}

class reader final : public json::json_sax_t {
 public:
  explicit reader(integers rule) : rule_(rule) {}

  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string& text) override {
    return add(exact_value(value, text, rule_));
  }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(json::binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return open(json::object()); }
  bool key(std::string& name) override {
    member_ = &(*open_.back())[std::move(name)];
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*size*/) override { return open(json::array()); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t /*place*/, const std::string& /*token*/,
                   const json::exception& /*error*/) override {
    return false;
  }

 private:
  // An array grows only while no value inside it is open, so the places in open_ do not move.
  json* put(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *member_ = std::move(value);
    return member_;
  }
  bool add(json value) {
    put(std::move(value));
    return true;
  }
  bool open(json value) {
    open_.push_back(put(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  integers rule_;
  json root_;
  json* member_ = nullptr;
  std::vector<json*> open_;
};

std::string text_of(const json& kept) {
  const auto& bytes = kept.get_binary();
  return {bytes.begin(), bytes.end()};
}

std::strong_ordering order_of_integers(const json& left, const json& right) {
  // Values of the signed type that are not negative may be of either type.
  const bool left_negative = !left.is_number_unsigned() && left.get<std::int64_t>() < 0;
  const bool right_negative = !right.is_number_unsigned() && right.get<std::int64_t>() < 0;
  if (left_negative != right_negative) return right_negative <=> left_negative;
  return left_negative ? left.get<std::int64_t>() <=> right.get<std::int64_t>()
                       : left.get<std::uint64_t>() <=> right.get<std::uint64_t>();
}

// The double that is as large as the number compared with all other numbers of this kind.
std::optional<double> simple(const json& number) {
  if (number.is_number_float()) return number.get<double>();
  if (!number.is_number_integer()) return std::nullopt;
  const auto value = number.get<double>();
  return std::abs(value) < 0x1p53 ? std::optional(value) : std::nullopt;
}

std::strong_ordering order_of_numbers(const json& left, const json& right) {
  if (left.is_number_integer() && right.is_number_integer()) return order_of_integers(left, right);
  const auto one = simple(left);
  const auto other = simple(right);
  if (!one || !other) return exactly(left) <=> exactly(right);
  if (*one == *other) return std::strong_ordering::equal;
  return *one < *other ? std::strong_ordering::less : std::strong_ordering::greater;
}

std::strong_ordering order_of_objects(const json& left, const json& right) {
  if (const auto sizes = left.size() <=> right.size(); std::is_neq(sizes)) return sizes;
  auto other = right.begin();
  for (auto one = left.begin(); one != left.end(); ++one, ++other) {
    if (const auto names = one.key().compare(other.key()) <=> 0; std::is_neq(names)) return names;
    if (const auto values = order(*one, *other); std::is_neq(values)) return values;
  }
  return std::strong_ordering::equal;
}

std::strong_ordering order_of_arrays(const json& left, const json& right) {
  if (const auto sizes = left.size() <=> right.size(); std::is_neq(sizes)) return sizes;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (const auto values = order(left[i], right[i]); std::is_neq(values)) return values;
  }
  return std::strong_ordering::equal;
}

}  // namespace

std::optional<json> read_exact_json(std::string_view text, integers rule) {
  reader into(rule);
  if (!json::sax_parse(text, &into)) return std::nullopt;
  return into.take();
}

bool is_number(const json& value) {
  return value.is_number() || value.is_binary();
}

bool is_integer(const json& value) {
  return value.is_number_integer() || (value.is_binary() && value.get_binary().has_subtype());
}

double rounded(const json& number) {
  if (!number.is_binary()) return number.get<double>();
  const std::string text = text_of(number);
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string number_text(const json& number) {
  if (number.is_binary()) return text_of(number);
  std::array<char, 40> text{};  // the shortest text of a double has at most 24 bytes
  const auto print = [&](auto value) {
    return std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  };
  const char* const end = number.is_number_unsigned()  ? print(number.get<std::uint64_t>())
                          : number.is_number_integer() ? print(number.get<std::int64_t>())
                                                       : print(number.get<double>());
  return {text.data(), static_cast<std::size_t>(end - text.data())};
}

exact_number exactly(const json& number) {
  return read_exact(number_text(number));
}

std::string_view type_name(const json& value) {
  return is_number(value) ? "number" : value.type_name();
}

std::strong_ordering order(const json& left, const json& right) {
  if (is_number(left) && is_number(right)) return order_of_numbers(left, right);
  if (is_number(left) != is_number(right)) return is_number(left) <=> is_number(right);
  if (left.type() != right.type())
    return static_cast<unsigned>(left.type()) <=> static_cast<unsigned>(right.type());
  switch (left.type()) {
    case json::value_t::boolean:
      return left.get<bool>() <=> right.get<bool>();
    case json::value_t::string:
      return left.get_ref<const std::string&>().compare(right.get_ref<const std::string&>()) <=> 0;
    case json::value_t::array:
      return order_of_arrays(left, right);
    case json::value_t::object:
      return order_of_objects(left, right);
    default:
      return std::strong_ordering::equal;
  }
}

}  // namespace sluice::answers
