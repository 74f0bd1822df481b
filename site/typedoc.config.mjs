/** TypeDoc: every entry in the `exports` of both packages is a module of the reference. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ReflectionKind } from 'typedoc'

const root = join(import.meta.dirname, '..')

/** The sources of a package's entries, and the names by which users import them. */
function entriesOf(folder) {
  const { name, exports } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
  return Object.entries(exports).flatMap(([path, { types }]) => {
    if (types === undefined) return []
    const source = types.replace(/^\.\/dist\//, '').replace(/\.d\.ts$/, '.ts')
    if (!existsSync(join(root, source))) throw new Error(`${folder}/package.json: there is no ${source}`)
    return [[source, name + path.slice(1)]]
  })
}

// A name that several entries export is described at the first of them; so the entries of parts come before the whole.
const entries = [...entriesOf('.').reverse(), ...entriesOf('client').reverse()]

/**
 * A plugin that names modules as users import them, where TypeDoc names them by their paths, and parameters that a function
 * takes apart `options`.
 */
function readableNames({ converter }) {
  const names = new Map(entries.map(([source, name]) => [source.replace(/(\/index)?\.ts$/, ''), name]))
  converter.on('resolveBegin', ({ project }) => {
    for (const module of project.children) {
      const name = names.get(module.name)
      if (name === undefined) throw new Error(`TypeDoc has a module ${module.name} that is no entry`)
      module.name = name
    }
    for (const parameter of project.getReflectionsByKind(ReflectionKind.Parameter)) {
      if (parameter.name === '__namedParameters') parameter.name = 'options'
    }
  })
}

/** A plugin that shows the type of a schema by its name alone: its whole type fills pages, and PROTOCOL.md has it. */
function shortSchemas({ converter }) {
  converter.on('resolveBegin', ({ project }) => {
    for (const variable of project.getReflectionsByKind(ReflectionKind.Variable)) {
      const { type } = variable
      if (type?.type === 'reference' && type.name.startsWith('Zod')) delete type.typeArguments
    }
  })
}

const members = [
  ReflectionKind.Property,
  ReflectionKind.Accessor,
  ReflectionKind.Method,
  ReflectionKind.Function,
  ReflectionKind.Variable,
  ReflectionKind.Class,
  ReflectionKind.Interface,
  ReflectionKind.TypeAlias,
]

/** Whether somebody wrote a comment on it. A function has it on its signatures, an accessor on its getter. */
function hasComment(reflection) {
  const parts = [
    reflection,
    ...(reflection.signatures ?? []),
    reflection.getSignature,
    reflection.setSignature,
  ]
  return parts.some(part => part?.comment?.hasVisibleComponent())
}

/**
 * A plugin that warns of each export, and each member of an exported class or interface, without a comment. TypeDoc's own
 * check also asks for comments on the fields of types that a schema was inferred as.
 */
function allHaveComments(app) {
  app.on('validateProject', project => {
    let documented = 0
    for (const kind of members) {
      for (const reflection of project.getReflectionsByKind(kind)) {
        const { parent } = reflection
        const isMember = parent?.kindOf([ReflectionKind.Class, ReflectionKind.Interface])
        if (!isMember && !parent?.kindOf(ReflectionKind.Module)) continue
        const isOwn = !reflection.inheritedFrom && !reflection.flags.isExternal
        if (hasComment(reflection)) documented++
        else if (isOwn) app.logger.validationWarning(`${reflection.getFriendlyFullName()} has no comment`)
      }
    }
    process.stderr.write(`docs: ${documented} exports and members have comments\n`)
  })
}

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'API',
  entryPoints: entries.map(([source]) => join(root, source)),
  tsconfig: 'tsconfig.json',
  skipErrorChecking: true,
  plugin: [
    'typedoc-plugin-markdown',
    'typedoc-vitepress-theme',
    readableNames,
    shortSchemas,
    allHaveComments,
  ],
  out: 'api',
  docsRoot: '.',
  router: 'module',
  groupOrder: ['Functions', 'Classes', 'Interfaces', 'Type Aliases', 'Variables', '*'],
  readme: 'none',
  disableSources: true,
  excludePrivate: true,
  excludeInternal: true,
  hideBreadcrumbs: true,
  hidePageHeader: true,
  hideGenerator: true,
  useCodeBlocks: false,
  expandObjects: false,
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
  classPropertiesFormat: 'table',
  typeDeclarationFormat: 'table',
  sidebar: { autoConfiguration: true, format: 'vitepress', collapsed: true },
  validation: {
    notExported: false,
    invalidLink: true,
    rewrittenLink: true,
    notDocumented: false,
    unusedMergeModuleWith: true,
  },
  treatWarningsAsErrors: true,
  logLevel: 'Warn',
}
