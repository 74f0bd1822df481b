/** Plans a form from the JSON Schema of an agent's input. What it does not know becomes a field for JSON. */

interface Schema {
  type?: unknown
  properties?: Record<string, Schema>
  required?: readonly string[]
  anyOf?: readonly Schema[]
  oneOf?: readonly Schema[]
  enum?: readonly unknown[]
  items?: Schema
  default?: unknown
  title?: string
  description?: string
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
}

/** One field of a form. */
export interface Field {
  /** The property of the input; `''` for the input itself. */
  readonly name: string
  readonly label: string
  readonly hint: string
  readonly required: boolean
  readonly kind: 'text' | 'line' | 'number' | 'check' | 'choice' | 'lines' | 'json'
  /** The default of the schema, as the field shows it. */
  readonly initial: string
  /** Of a choice. */
  readonly options: readonly string[]
  readonly minimum?: number | undefined
  readonly maximum?: number | undefined
  readonly whole?: boolean
  readonly minLength?: number | undefined
  readonly maxLength?: number | undefined
}

/** One form. An input that may have several shapes has a form for each. */
export interface Form {
  readonly title: string
  readonly fields: readonly Field[]
}

/** Properties that hold what a user says. */
const texts = ['query', 'prompt', 'text', 'message', 'input']

/** Text up to this length gets one line. */
const LINE_CHARS = 120

/** `true` is "any value". */
const isObject = (schema: unknown): schema is Schema => typeof schema === 'object' && schema !== null

/** "maxSources" as "Max sources". */
function labelOf(name: string): string {
  const words = name.replace(/[_-]+/g, ' ').replace(/([a-z\d])([A-Z])/g, '$1 $2')
  return words.charAt(0).toUpperCase() + words.slice(1).toLowerCase()
}

/** The one schema of a value that may also be null. */
function withoutNull(schema: Schema): Schema {
  const choices = (schema.anyOf ?? schema.oneOf)?.filter(one => one.type !== 'null')
  if (choices?.length === 1) return { ...schema, anyOf: undefined!, oneOf: undefined!, ...choices[0] }
  const types = Array.isArray(schema.type) ? schema.type.filter(type => type !== 'null') : []
  return types.length === 1 ? { ...schema, type: types[0] } : schema
}

function kindOf(name: string, schema: Schema): Field['kind'] {
  if (schema.enum?.every(value => typeof value === 'string')) return 'choice'
  switch (schema.type) {
    case 'string':
      return texts.includes(name) && (schema.maxLength ?? Infinity) > LINE_CHARS ? 'text' : 'line'
    case 'number':
    case 'integer':
      return 'number'
    case 'boolean':
      return 'check'
    case 'array':
      return isObject(schema.items) && schema.items.type === 'string' && !schema.items.enum ? 'lines' : 'json'
    default:
      return 'json'
  }
}

function initialOf(kind: Field['kind'], value: unknown): string {
  if (value === undefined) return ''
  if (kind === 'json') return JSON.stringify(value)
  return Array.isArray(value) ? value.join('\n') : String(value)
}

function fieldOf(name: string, given: unknown, required: boolean): Field {
  const schema = isObject(given) ? withoutNull(given) : {}
  const kind = kindOf(name, schema)
  const { description = '', minimum, maximum, minLength, maxLength } = schema
  return {
    name,
    label: schema.title ?? (name === '' ? 'Input' : labelOf(name)),
    hint: description,
    required: required && schema.default === undefined,
    kind,
    initial: initialOf(kind, schema.default),
    options: kind === 'choice' ? (schema.enum as string[]) : [],
    // JSON Schema of zod gives integers the bounds of safe ones, which say nothing to a user.
    minimum: Math.abs(minimum ?? Infinity) < Number.MAX_SAFE_INTEGER ? minimum : undefined,
    maximum: Math.abs(maximum ?? Infinity) < Number.MAX_SAFE_INTEGER ? maximum : undefined,
    whole: schema.type === 'integer',
    minLength,
    maxLength,
  }
}

/** The forms of an input: one per shape that it may have. Fields of what a user says come first, then required ones. */
export function formsOf(schema: unknown): readonly Form[] {
  const { properties, anyOf, oneOf, required = [], title } = isObject(schema) ? schema : {}
  const shapes = anyOf ?? oneOf
  if (!properties && shapes?.every(shape => isObject(shape) && shape.properties)) {
    return shapes.flatMap(shape => formsOf(shape))
  }
  if (!properties) return [{ title: 'JSON', fields: [{ ...fieldOf('', undefined, true), initial: '{}' }] }]
  const fields = Object.entries(properties).map(([name, one]) => fieldOf(name, one, required.includes(name)))
  const rank = ({ kind, required }: Field) => (kind === 'text' ? 0 : required ? 1 : 2)
  fields.sort((a, b) => rank(a) - rank(b))
  const named = fields.filter(field => field.required).map(({ label }) => label)
  return [{ title: title ?? (named.join(', ') || 'Options'), fields }]
}

/** The property that takes what a user says; `undefined` without one. */
export function textOf(schema: unknown): string | undefined {
  return formsOf(schema)[0]!.fields.find(({ kind }) => kind === 'text')?.name
}

/**
 * Makes the input of what was filled in. Empty fields that are not required are left out.
 * @throws Error when a field for JSON holds none, with the field's label
 */
export function inputOf({ fields }: Form, values: Readonly<Record<string, string>>): unknown {
  const input: Record<string, unknown> = {}
  for (const { name, label, kind, required, initial } of fields) {
    const value = values[name] ?? initial
    if (value === '' && !(required && (kind === 'text' || kind === 'line')) && kind !== 'check') continue
    switch (kind) {
      case 'number':
        input[name] = Number(value)
        break
      case 'check':
        // A box that was never touched and has no default says nothing.
        if (value !== '') input[name] = value === 'true'
        else if (required) input[name] = false
        break
      case 'lines':
        input[name] = value.split('\n').filter(line => line.trim() !== '')
        break
      case 'json':
        try {
          input[name] = JSON.parse(value)
        } catch {
          throw new Error(`${label}: expected JSON, such as {"key": "value"} or [1, 2]`)
        }
        break
      default:
        input[name] = value
    }
  }
  return fields[0]?.name === '' ? input[''] : input
}
