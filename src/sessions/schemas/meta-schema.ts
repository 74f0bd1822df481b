/**
 * The JSON Schema that a question's schema has to meet itself. It covers the keywords of draft 2020-12, and those of
 * draft 7 that many libraries still write. https://json-schema.org/draft/2020-12
 */
import type { Schema } from '@cfworker/json-schema'

const schema: Schema = { $ref: '#' }
const schemas: Schema = { type: 'array', minItems: 1, items: schema }
const schemaByName: Schema = { type: 'object', additionalProperties: schema }
const text: Schema = { type: 'string' }
const names: Schema = { type: 'array', items: text }
const count: Schema = { type: 'integer', minimum: 0 }
const number: Schema = { type: 'number' }
const yesOrNo: Schema = { type: 'boolean' }
const pattern: Schema = { type: 'string', format: 'regex' }
const typeName: Schema = { enum: ['array', 'boolean', 'integer', 'null', 'number', 'object', 'string'] }

export const metaSchema: Schema = {
  type: ['object', 'boolean'],
  properties: {
    $schema: text,
    $id: text,
    $anchor: text,
    $ref: text,
    $defs: schemaByName,
    definitions: schemaByName,
    // Needs a search through all schemas that are being applied; the validator does not have it.
    $dynamicRef: false,

    type: { anyOf: [typeName, { type: 'array', minItems: 1, uniqueItems: true, items: typeName }] },
    enum: { type: 'array' },
    const: true,
    format: text,

    allOf: schemas,
    anyOf: schemas,
    oneOf: schemas,
    not: schema,
    if: schema,
    // biome-ignore lint/suspicious/noThenProperty: the name of a keyword
    then: schema,
    else: schema,

    multipleOf: { type: 'number', exclusiveMinimum: 0 },
    minimum: number,
    maximum: number,
    exclusiveMinimum: number,
    exclusiveMaximum: number,

    minLength: count,
    maxLength: count,
    pattern,

    items: { anyOf: [schema, schemas] },
    additionalItems: schema,
    prefixItems: schemas,
    unevaluatedItems: schema,
    contains: schema,
    minContains: count,
    maxContains: count,
    minItems: count,
    maxItems: count,
    uniqueItems: yesOrNo,

    properties: schemaByName,
    patternProperties: { type: 'object', propertyNames: pattern, additionalProperties: schema },
    additionalProperties: schema,
    unevaluatedProperties: schema,
    propertyNames: schema,
    required: names,
    minProperties: count,
    maxProperties: count,
    dependentRequired: { type: 'object', additionalProperties: names },
    dependentSchemas: schemaByName,
    dependencies: { type: 'object', additionalProperties: { anyOf: [schema, names] } },
  },
}
