import serializers from "@fastify/fast-json-stringify-compiler";
import type { FastifySerializerCompiler } from "fastify";

/** Fastify's own serializers, each compiled when its answer is first given: the same bytes without the wait for all others. */
export function buildSerializerCompiler(): FastifySerializerCompiler<unknown> {
  const compile = serializers.SerializerSelector()({}, {});
  return (route) => {
    const known = { ...route, httpStatus: route.httpStatus ?? "" };
    let serialize: ReturnType<typeof compile> | undefined;
    return (data: unknown) => {
      serialize ??= compile(known);
      return serialize(data);
    };
  };
}
