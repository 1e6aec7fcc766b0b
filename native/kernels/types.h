// Kernels for elements of several types.
#pragma once

#include "boxed.h"

namespace edgetrain::kernels {

/// f(T()) for the type of elements T. Those of other types have no kernel of ours.
template <class Function>
bool visit(ScalarType type, const Function& f) {
  switch (type) {
    case ScalarType::Float:
      f(float());
      return true;
    case ScalarType::Double:
      f(double());
      return true;
    case ScalarType::Long:
      f(int64_t());
      return true;
    case ScalarType::Int:
      f(int32_t());
      return true;
    case ScalarType::Byte:
      f(uint8_t());
      return true;
    case ScalarType::Bool:
      f(bool());
      return true;
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
