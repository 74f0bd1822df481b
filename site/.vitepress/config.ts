import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type DefaultTheme, defineConfig } from 'vitepress'
import { diagrams } from '../diagrams.ts'
import { repositoryLinks } from '../links.ts'
import { addressOf, filesOf, otherFiles, sections, slugOf, titleOf } from '../pages.ts'

const site = fileURLToPath(new URL('..', import.meta.url))

/** The sidebar of the API reference, as TypeDoc writes it. */
function apiSidebar(): DefaultTheme.SidebarItem[] {
  const file = `${site}api/typedoc-sidebar.json`
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
}

const link = (file: string) => `/${addressOf(file).replace(/(index)?\.md$/, '')}`

const guide = sections.map(section => ({
  text: section.title,
  collapsed: false,
  items: [
    ...filesOf(section).map(file => ({ text: titleOf(file), link: link(file) })),
    ...(section.title === 'Reference' ? [{ text: 'API', link: '/api/' }] : []),
  ],
}))

export default defineConfig({
  title: 'Twinrail',
  description: 'Agent runs as durable sessions over SSE, WebSocket and long-poll, with one cursor for all.',
  // Browsers ask for an icon otherwise.
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  srcDir: '..',
  // VitePress takes every Markdown file below `srcDir`.
  srcExclude: ['**/.*/**', ...otherFiles()],
  outDir: 'dist',
  cacheDir: 'node_modules/.cache',
  rewrites: page => (page.startsWith('site/') ? page.slice('site/'.length) : addressOf(page)),
  transformPageData: pageData => ({ title: pageData.title.replaceAll('`', '') }),
  locales: {
    root: { label: 'English', lang: 'en' },
    zh: { label: '中文', lang: 'zh-CN' },
  },
  lastUpdated: false,
  ignoreDeadLinks: 'localhostLinks',
  markdown: {
    anchor: { slugify: slugOf },
    languageAlias: { haproxy: 'nginx', caddy: 'nginx' },
    config(md) {
      repositoryLinks(md)
      diagrams(md)
    },
  },
  vite: {
    // Vite looks for packages from `srcDir`, and would bundle what it does not find there.
    ssr: { external: ['vue', 'vue/server-renderer'] },
    // Otherwise Vite reads every HTML file below `srcDir` for packages: the pages of the examples, which are not built.
    optimizeDeps: { entries: [] },
    plugins: [
      {
        // VitePress lists packages of its own, which Vite does not find from `srcDir`. It finds them when they are imported.
        name: 'packages-of-vitepress',
        enforce: 'post',
        config({ optimizeDeps: { include = [] } = {} }) {
          const others = include.filter(name => !name.startsWith('vitepress > '))
          include.splice(0, include.length, ...others)
        },
      },
      {
        // The pages lie outside of this folder, and would not find Vue.
        name: 'vue-for-pages',
        enforce: 'pre',
        resolveId(id, importer, { ssr } = {}) {
          if (!/^vue(\/|$)/.test(id) || importer === undefined || importer.startsWith(site)) return null
          if (ssr) return { id, external: true }
          return this.resolve(id, `${site}pages.ts`, { skipSelf: true })
        },
      },
    ],
  },
  themeConfig: {
    // Both languages have one sidebar, and most pages exist in English only.
    i18nRouting: false,
    search: {
      provider: 'local',
      options: {
        miniSearch: {
          options: {
            // A Chinese text has no spaces: each of its characters is a word.
            tokenize: text => text.match(/\p{Script=Han}|[^\s\p{P}\p{Script=Han}]+/gu) ?? [],
          },
        },
      },
    },
    outline: [2, 3],
    nav: [
      { text: 'Get started', link: '/getting-started' },
      { text: 'Protocol', link: '/protocol' },
      { text: 'API', link: '/api/' },
    ],
    sidebar: { '/api/': [{ text: 'API', items: apiSidebar() }], '/': guide },
  },
})
