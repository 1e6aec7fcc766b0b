// Kernels for elements of several types.
#pragma once

#include "boxed.h"

namespace edgetrain::kernels {

/// f(T()), unless this build is for programs without such elements.
template <class T, bool kChosen, class Function>
bool visit_as(const Function& f) {
  if constexpr (kChosen) f(T());
  return kChosen;
}

/// f(T()) for the type of elements T. Those of other types have no kernel of ours.
template <class Function>
bool visit(ScalarType type, const Function& f) {
  switch (type) {
    case ScalarType::Float:
      return visit_as<float, kHasFloat32>(f);
    case ScalarType::Double:
      return visit_as<double, kHasFloat64>(f);
    case ScalarType::Long:
      return visit_as<int64_t, kHasInt64>(f);
    case ScalarType::Int:
      return visit_as<int32_t, kHasInt32>(f);
    case ScalarType::Byte:
      return visit_as<uint8_t, kHasUint8>(f);
    case ScalarType::Bool:
      return visit_as<bool, kHasBool>(f);
    default:
      return false;
  }
}

/// f(T()) for an unsigned number of as many bytes, 1, 4 or 8: where elements are only moved.
template <class Function>
void visit_bytes(ssize_t bytes, const Function& f) {
  if (bytes == 1) return f(uint8_t());
  if (bytes == 4) return f(uint32_t());
  f(uint64_t());
}

inline bool is_visited(ScalarType type) {
  return visit(type, [](auto) {});
}

inline bool is_floating(ScalarType type) { return type == ScalarType::Float || type == ScalarType::Double; }

/// Whether elements lie in the order of the dimensions, whatever their type.
template <class... Tensors>
bool are_dense_of_any_type(const Tensors&... tensors) {
  return (is_dense(tensors, tensors.scalar_type()) && ...);
}

/// A dimension counted from the front, or -1 where there is no such one.
inline int64_t from_front(int64_t dim, int64_t dims) {
  const int64_t front = dim < 0 ? dim + dims : dim;
  return front >= 0 && front < dims ? front : -1;
}

/// A number as an element.
template <class T>
T element(const EValue& number) {
  return number.isInt() ? static_cast<T>(number.toInt()) : static_cast<T>(scalar(number));
}

/// A number for elements of a type: false where the elements would take another type for its sake.
inline bool keeps_type(ScalarType type, const EValue& number) {
  if (is_floating(type)) return true;
  return type == ScalarType::Bool ? number.isBool() : !number.isDouble();
}

}  // namespace edgetrain::kernels
