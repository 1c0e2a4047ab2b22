#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <valijson/internal/adapter.hpp>
#include <valijson/internal/basic_adapter.hpp>
#include <valijson/internal/frozen_value.hpp>
#include <valijson/schema.hpp>
#include <valijson/validation_visitor.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "answers/exact_json.hpp"
#include "json/text.hpp"

/// How valijson reads documents of read_exact_json, and walks through them. Its own adapter takes
/// large unsigned numbers for negative ones, and its own walk keeps an error for every element.
namespace sluice::answers {

/// The longest part of a name or a description that is shown, in bytes.
constexpr std::size_t longest_shown = 160;

class schema_adapter;

template <typename Element>
class schema_iterator {
 public:
  using iterator_category = std::bidirectional_iterator_tag;
  using value_type = Element;
  using difference_type = std::ptrdiff_t;
  using pointer = Element*;
  using reference = Element&;

  explicit schema_iterator(const nlohmann::json::const_iterator& place) : place_(place) {}

  Element operator*() const;
  valijson::adapters::DerefProxy<Element> operator->() const {
    return valijson::adapters::DerefProxy<Element>(**this);
  }
  bool operator==(const schema_iterator& other) const { return place_ == other.place_; }
  schema_iterator& operator++() {
    ++place_;
    return *this;
  }
  schema_iterator operator++(int) {
    schema_iterator before = *this;
    ++place_;
    return before;
  }
  schema_iterator& operator--() {
    --place_;
    return *this;
  }
  void advance(std::ptrdiff_t steps) { place_ += steps; }

 private:
  nlohmann::json::const_iterator place_;
};

using schema_member = std::pair<std::string, schema_adapter>;

inline const nlohmann::json& empty_json(nlohmann::json::value_t type) {
  static const nlohmann::json array = nlohmann::json::array();
  static const nlohmann::json object = nlohmann::json::object();
  return type == nlohmann::json::value_t::array ? array : object;
}

/// The elements of an array or the members of an object.
template <typename Element, nlohmann::json::value_t Type>
class schema_elements {
 public:
  using const_iterator = schema_iterator<Element>;
  using iterator = const_iterator;

  schema_elements() : value_(&empty_json(Type)) {}
  explicit schema_elements(const nlohmann::json* value) : value_(value) {}

  const_iterator begin() const { return const_iterator(value_->begin()); }
  const_iterator end() const { return const_iterator(value_->end()); }
  const_iterator find(const std::string& name) const { return const_iterator(value_->find(name)); }
  std::size_t size() const { return value_->size(); }

 private:
  const nlohmann::json* value_;
};
using schema_array = schema_elements<schema_adapter, nlohmann::json::value_t::array>;
using schema_object = schema_elements<schema_member, nlohmann::json::value_t::object>;

class frozen_schema_value final : public valijson::adapters::FrozenValue {
 public:
  explicit frozen_schema_value(nlohmann::json value) : value_(std::move(value)) {}
  FrozenValue* clone() const override { return new frozen_schema_value(value_); }
  bool equalTo(const valijson::adapters::Adapter& other, bool strict) const override;

 private:
  nlohmann::json value_;
};

/// What valijson::adapters::BasicAdapter asks of a value.
class schema_value {
 public:
  schema_value() : value_(&empty_json(nlohmann::json::value_t::object)) {}
  explicit schema_value(const nlohmann::json* value) : value_(value) {}

  valijson::adapters::FrozenValue* freeze() const { return new frozen_schema_value(*value_); }
  opt::optional<schema_array> getArrayOptional() const { return elements<schema_array>(isArray()); }
  opt::optional<schema_object> getObjectOptional() const {
    return elements<schema_object>(isObject());
  }
  bool getArraySize(std::size_t& result) const { return size(isArray(), result); }
  bool getObjectSize(std::size_t& result) const { return size(isObject(), result); }
  bool getBool(bool& result) const {
    result = isBool() && value_->get<bool>();
    return isBool();
  }
  // All numbers are doubles, and some of them are integers as well.
  bool getDouble(double& result) const {
    result = isNumber() ? rounded(*value_) : 0;
    return isNumber();
  }
  bool getInteger(std::int64_t& result) const {
    constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
    result = 0;
    if (!value_->is_number_integer()) return false;
    if (value_->is_number_unsigned() && value_->get<std::uint64_t>() > largest) return false;
    result = value_->get<std::int64_t>();
    return true;
  }
  bool getString(std::string& result) const {
    if (isString()) result = value_->get_ref<const std::string&>();
    return isString();
  }
  static bool hasStrictTypes() { return true; }
  bool isArray() const { return value_->is_array(); }
  bool isBool() const { return value_->is_boolean(); }
  bool isDouble() const { return is_number(*value_); }
  bool isInteger() const { return is_integer(*value_); }
  bool isNull() const { return value_->is_null(); }
  bool isNumber() const { return is_number(*value_); }
  bool isObject() const { return value_->is_object(); }
  bool isString() const { return value_->is_string(); }

 private:
  template <typename Elements>
  opt::optional<Elements> elements(bool fits) const {
    return fits ? opt::make_optional(Elements(value_)) : opt::optional<Elements>();
  }
  bool size(bool fits, std::size_t& result) const {
    if (fits) result = value_->size();
    return fits;
  }

  const nlohmann::json* value_;
};

class schema_adapter final
    : public valijson::adapters::BasicAdapter<schema_adapter, schema_array, schema_member,
                                              schema_object, schema_value> {
 public:
  schema_adapter() : value_(&empty_json(nlohmann::json::value_t::object)) {}
  explicit schema_adapter(const nlohmann::json& value)
      : BasicAdapter(schema_value(&value)), value_(&value) {}

  const nlohmann::json& value() const { return *value_; }

  bool equalTo(const valijson::adapters::Adapter& other, bool strict) const override {
    const auto* const same = dynamic_cast<const schema_adapter*>(&other);
    if (same == nullptr) return BasicAdapter::equalTo(other, strict);  // the name of a property
    return std::is_eq(order(*value_, *same->value_));
  }

 private:
  const nlohmann::json* value_;
};

template <>
inline schema_adapter schema_iterator<schema_adapter>::operator*() const {
  return schema_adapter(*place_);
}

template <>
inline schema_member schema_iterator<schema_member>::operator*() const {
  return {place_.key(), schema_adapter(place_.value())};
}

inline bool frozen_schema_value::equalTo(const valijson::adapters::Adapter& other,
                                         bool strict) const {
  return schema_adapter(value_).equalTo(other, strict);
}

}  // namespace sluice::answers

namespace valijson {

template <>
struct adapters::AdapterTraits<sluice::answers::schema_adapter> {
  using DocumentType = nlohmann::json;
};

/// The walk ends at the first fault, so that it keeps few errors: those of the branches of an anyOf
/// or oneOf, and those that follow from one of them.
using schema_visitor = ValidationVisitor<sluice::answers::schema_adapter>;

namespace schema_walk {

// The results for arrays and objects of the document that this thread checks. In a recursive
// schema, each branch of an anyOf or oneOf checks the same elements again at every level. Without
// this, the time would be exponential in the depth.
using verdict_map = std::map<std::pair<const Subschema*, const nlohmann::json*>, bool>;
inline verdict_map& verdicts() {
  static thread_local verdict_map known;
  return known;
}

/// The check of one document. On one thread, only one at a time.
struct check {
  check() { verdicts().clear(); }
  check(const check&) = delete;
  check& operator=(const check&) = delete;
  ~check() { verdicts().clear(); }
  /// Before the walk that looks for the reason: what did not fit must be walked again.
  void look_for_reason() {
    std::erase_if(verdicts(), [](const auto& known) { return !known.second; });
  }
};

// The path to an element. Only a walk that reports errors needs it.
inline std::vector<std::string> path_to(const std::vector<std::string>& parent,
                                        const std::string& name, const ValidationResults* results) {
  if (results == nullptr) return {};
  std::vector<std::string> path = parent;
  path.push_back(fmt::format("[{}]", sluice::utf8_prefix(name, sluice::answers::longest_shown)));
  return path;
}

}  // namespace schema_walk

template <>
inline bool schema_visitor::validateSchema(const Subschema& subschema) {
  if (subschema.getAlwaysInvalid()) return false;
  auto& known = schema_walk::verdicts();
  const std::pair question{&subschema, &m_target.value()};
  const bool repeats = m_target.value().is_structured();
  if (repeats) {
    if (const auto found = known.find(question); found != known.end()) return found->second;
  }
  Subschema::ApplyFunction apply = [this](const constraints::Constraint& constraint) {
    return constraint.accept(*this);
  };
  const bool fits = subschema.applyStrict(apply);
  if (repeats) known.emplace(question, fits);
  return fits;
}

template <>
inline bool schema_visitor::visit(const SingularItemsConstraint& constraint) {
  const Subschema* const schema = constraint.getItemsSubschema();
  if (!m_target.isArray() || schema == nullptr) return true;
  std::size_t index = 0;
  for (const auto& item : m_target.getArray()) {
    const std::string name = std::to_string(index++);
    schema_visitor inside(item, schema_walk::path_to(m_context, name, m_results), m_strictTypes,
                          m_results, m_regexesCache);
    if (inside.validateSchema(*schema)) continue;
    if (m_results != nullptr)
      m_results->pushError(m_context, fmt::format("Failed to validate item #{} in array.", name));
    return false;
  }
  return true;
}

template <>
inline bool schema_visitor::visit(const LinearItemsConstraint& constraint) {
  if (!m_target.isArray()) return true;
  const Subschema* const others = constraint.getAdditionalItemsSubschema();
  const auto array = m_target.getArray();
  const std::size_t listed = constraint.getItemSubschemaCount();
  if (others == nullptr && array.size() > listed) {
    if (m_results != nullptr)
      m_results->pushError(m_context,
                           "Array contains more items than allowed by items constraint.");
    return false;
  }
  unsigned int checked = 0;
  bool fits = true;
  constraint.applyToItemSubschemas(ValidateItems(array, m_context, true, false, m_strictTypes,
                                                 m_results, &checked, &fits, m_regexesCache));
  if (!fits) return false;
  if (array.size() <= listed) return true;
  auto item = array.begin();
  item.advance(static_cast<std::ptrdiff_t>(listed));
  for (std::size_t index = listed; item != array.end(); ++item, ++index) {
    const std::string name = std::to_string(index);
    schema_visitor inside(*item, schema_walk::path_to(m_context, name, m_results), m_strictTypes,
                          m_results, m_regexesCache);
    if (inside.validateSchema(*others)) continue;
    if (m_results != nullptr)
      m_results->pushError(m_context, fmt::format("Failed to validate item #{} in array.", name));
    return false;
  }
  return true;
}

template <>
inline bool schema_visitor::visit(const PropertiesConstraint& constraint) {
  if (!m_target.isObject()) return true;
  const auto object = m_target.getObject();
  std::set<std::string> listed;
  bool fits = true;
  constraint.applyToProperties(ValidatePropertySubschemas(object, m_context, true, false, true,
                                                          m_strictTypes, m_results, &listed, &fits,
                                                          m_regexesCache));
  if (!fits) return false;
  const Subschema* const others = constraint.getAdditionalPropertiesSubschema();
  for (const auto& [name, value] : object) {
    if (listed.contains(name)) continue;
    if (others == nullptr) {
      if (m_results != nullptr)
        m_results->pushError(m_context,
                             fmt::format("Object contains a property that could not be validated "
                                         "using 'properties' or 'additionalProperties' "
                                         "constraints: '{}'.",
                                         name));
      return false;
    }
    schema_visitor inside(value, schema_walk::path_to(m_context, name, m_results), m_strictTypes,
                          m_results, m_regexesCache);
    if (inside.validateSchema(*others)) continue;
    if (m_results != nullptr)
      m_results->pushError(m_context, "Failed to validate against additional properties schema");
    return false;
  }
  return true;
}

template <>
inline bool schema_visitor::visit(const TypeConstraint& constraint) {
  bool fits = false;
  constraint.applyToNamedTypes(ValidateNamedTypes(m_target, false, true, m_strictTypes, &fits));
  if (!fits && m_results != nullptr)
    m_results->pushError(m_context, fmt::format("a value of type {} may not stand here",
                                                sluice::answers::type_name(m_target.value())));
  return fits;
}

}  // namespace valijson
